"""What errors of slopes do to sizes along directions: bias to second order, and the influence of every model."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.contrast import Fits
from modeldiff_core.comparison.noise import Block
from modeldiff_core.comparison.slope_noise import half_slopes, mixed


@dataclass(frozen=True)
class SlopeErrors:
    """What errors of slopes do to the contrast's variance along directions, to A's and to B's.

    Attributes:
        angles: φ_t at which the sizes are measured.
        influence: Of every model; models of B follow those of A where their masks differ.
        twice: What the sum of their squares counts twice.
        bias: What the sizes have too much in expectation.
    """

    angles: Float[np.ndarray, " targets"]
    influence: Float[np.ndarray, "3 models components"]
    twice: Float[np.ndarray, "3 components"]
    bias: Float[np.ndarray, "3 components"]


def slope_errors(
    fits: Fits,
    blocks: list[Block],
    weights: Float[np.ndarray, " targets"],
    directions: Float[np.ndarray, "components train"],
    which: tuple[int, int],
) -> SlopeErrors:
    """Return what errors of one half's slopes do to sizes along directions that the same half measures.

    A size is Σ_t (p_t − p̄)² with p = w·⟨R, v⟩ and its derivative p' = −w·⟨l, v⟩ (``half_slopes`` has R, l and the error
    δ), for A w·cos φ·⟨θ_A, v⟩ and −w·sin φ·⟨θ_A, v⟩, for B w·sin φ·⟨θ_B, v⟩ and w·cos φ·⟨θ_B, v⟩; p'' = −p. To second
    order in the noise its expectation is larger than without errors by

        Σ_t 2·(p_t − p̄)·p'_t·E[δ_t] + 2·Cov(δ_t, (p_t − p̄)·p'_t) + E[δ_t²]·((1 − 1/T)·p'_t² − (p_t − p̄)·p_t),

    products of p and p' without their own noise, and model i adds 2·(p_t − p̄)·p'_t·d_i,t to it.

    Args:
        fits: Datamodels.
        blocks: Models of the half.
        weights: Of the targets, w.
        directions: Outside which slopes are taken; chosen on the other half.
        which: The half whose models give the slopes and measure the sizes, and how many models there are in all.
    """
    half, models = which
    slopes = half_slopes(fits, blocks, weights, directions, half)
    w = weights.astype(np.float32)
    c, s, zero = w * np.cos(slopes.angles).astype(np.float32), w * np.sin(slopes.angles).astype(np.float32), 0 * w
    # What A's and B's margins count for in p and in p', for the contrast, for A and for B.
    factors = (((c, -s), (-s, -c)), ((c, zero), (-s, zero)), ((zero, s), (zero, c)))
    along = fits.a[half] @ directions.T, fits.b[half] @ directions.T
    influence = np.zeros((3, models, len(directions)))
    twice, bias = np.zeros((3, len(directions))), np.zeros((3, len(directions)))
    less = 1 - 1 / len(w)
    for size, (of_p, of_change) in enumerate(factors):
        p, change = mixed(*of_p, *along), mixed(*of_change, *along)
        p = p - p.mean(0)
        products = np.stack([np.square(p), p * change, np.square(change)]).astype(np.float64)
        twice[size] = slopes.twice @ np.square(2 * p * change)
        covariance = np.zeros_like(products[0])
        for block, adds in zip(blocks, slopes.adds, strict=True):
            influence[size, block.place] += adds @ (2 * p * change)
            u = (directions @ block.columns).T
            e, e_change = (mixed(*way, *(y.T for y in block.noise)).T for way in (of_p, of_change))
            for product, (x, y) in zip(products, ((e, e), (e, e_change), (e_change, e_change)), strict=True):
                product -= (x * y).T @ np.square(u)
            covariance += (adds * e).T @ u * change + (adds * e_change).T @ u * p
        pp, crossed, changed = products
        second = slopes.square[:, None] * (less * changed - pp)
        bias[size] = (2 * slopes.middle[:, None] * crossed + 2 * covariance + second).sum(0)
    return SlopeErrors(slopes.angles, influence, twice, bias)
