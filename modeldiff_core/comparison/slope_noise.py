"""Errors of one half's slopes: their moments to second order, and what each model adds to them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.contrast import Fits, cleared
from modeldiff_core.comparison.noise import Block
from modeldiff_core.comparison.slopes import slope_angles

LEAST_GAP = 0.25
"""Of the median over targets, the least length by which a slope's error is divided."""

MOST_SQUARE = np.pi**2 / 48
"""Most that E[δ²] is taken to be: angles that are spread evenly over a quarter turn vary by as much."""


@dataclass(frozen=True)
class HalfSlopes:
    """Slopes from one half of the models outside some directions, with their errors δ_t.

    Attributes:
        angles: φ_t.
        adds: What each model adds to δ_t, for each block of models (noise.blocks_of).
        square: E[δ_t²], 0 or more.
        twice: D_t, what squares of `adds` count twice.
        middle: E[δ_t].
    """

    angles: Float[np.ndarray, " targets"]
    adds: tuple[Float[np.ndarray, "models targets"], ...]
    square: Float[np.ndarray, " targets"]
    twice: Float[np.ndarray, " targets"]
    middle: Float[np.ndarray, " targets"]


def half_slopes(
    fits: Fits,
    blocks: list[Block],
    weights: Float[np.ndarray, " targets"],
    directions: Float[np.ndarray, "components train"],
    half: int,
) -> HalfSlopes:
    """Return one half's slopes outside some directions with their errors.

    With R = cos φ·θ_A − sin φ·θ_B and l = sin φ·θ_A + cos φ·θ_B outside the directions a slope is off by δ =
    ½·atan2(2·o, G), o what products between different models give for ⟨R, l⟩ and G = ‖l‖² − ‖R‖². Model i adds

        d_i = (⟨K_i, l₋ᵢ⟩·e_i + ⟨K_i, R₋ᵢ⟩·e'_i)/G,

    l₋ᵢ and R₋ᵢ without model i, e_i the noise of cos φ·y_A − sin φ·y_B and e'_i of sin φ·y_A + cos φ·y_B. Noise of R
    with noise of l counts in both terms: E[δ²] = Σ_i d_i² − D with

        D = Σ_{i≠j} ⟨K_i, K_j⟩²·(e_i²·e'_j² + e_i·e'_i·e_j·e'_j)/G²,

    and E[δ] = −Cov(o, G)/G² = −Σ_i 2·(⟨K_i, l₋ᵢ⟩² − ⟨K_i, R₋ᵢ⟩²)·e_i·e'_i/G². Where E[δ²] would be above MOST_SQUARE it
    is that, d_i in proportion.

    Args:
        fits: Datamodels.
        blocks: Models of this half (``noise.blocks_of``).
        weights: Of the targets; those of 0 have no errors.
        directions: Outside which slopes are taken.
        half: Whose slopes.
    """
    products = fits.products(half, directions.T)
    angles = slope_angles(*products)
    c, s = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    gap = _gap(products, angles, weights)
    across, shared = (_outside(mixed(*way, fits.a[half], fits.b[half]), directions) for way in ((c, -s), (s, c)))
    adds, square, twice, middle = [], np.zeros(len(c)), np.zeros(len(c)), np.zeros(len(c))
    for block in blocks:
        outside = _outside(block.columns.T, directions)
        lengths = np.einsum("ij,ij->i", outside, outside)
        along = block.along @ directions.T
        margins = [cleared(y, along).T if y.any() else y.T for y in block.margins]
        short, long = (
            (rows @ block.columns - lengths * mixed(*way, *margins)).T
            for rows, way in ((across, (c, -s)), (shared, (s, c)))
        )
        e, other = (mixed(*way, *(y.T for y in block.noise)).T for way in ((c, -s), (s, c)))
        adds.append(np.asarray((long * e + short * other) / gap))
        square += np.square(adds[-1]).sum(0)
        gram = np.square(outside @ outside.T)
        gram[np.diag_indices(len(gram))] = 0
        both = e * other
        twice += (np.square(e) * (gram @ np.square(other)) + both * (gram @ both)).sum(0) / np.square(gap)
        middle -= 2 * ((np.square(long) - np.square(short)) * e * other / np.square(gap)).sum(0)
    # Where next to nothing is left of a target to the first order its slope is off by any amount.
    square = np.maximum(square - twice, 0)
    held = np.sqrt(np.minimum(1, np.divide(MOST_SQUARE, square, out=np.ones_like(square), where=square > 0)))
    square = np.square(held) * square
    middle = np.clip(middle, -np.sqrt(square), np.sqrt(square))
    return HalfSlopes(angles, tuple(held * x for x in adds), square, np.square(held) * twice, middle)


def mixed(
    of_a: Float[np.ndarray, " targets"],
    of_b: Float[np.ndarray, " targets"],
    a: Float[np.ndarray, "targets columns"],
    b: Float[np.ndarray, "targets columns"],
) -> Float[np.ndarray, "targets columns"]:
    """Return a weighted sum of what A and B have of each target."""
    return np.asarray(of_a[:, None] * a + of_b[:, None] * b)


def _outside(
    rows: Float[np.ndarray, "rows train"], directions: Float[np.ndarray, "components train"]
) -> Float[np.ndarray, "rows train"]:
    return np.asarray(rows - (rows @ directions.T) @ directions)


def _gap(
    products: tuple[np.ndarray, np.ndarray, np.ndarray],
    angles: Float[np.ndarray, " targets"],
    weights: Float[np.ndarray, " targets"],
) -> Float[np.ndarray, " targets"]:
    """Return ‖l_t‖² − ‖R_t‖² without noise, at least LEAST_GAP of its median; infinite where targets are left out."""
    aa, ab, bb = products
    gap = np.cos(2 * angles) * (bb - aa) + 2 * np.sin(2 * angles) * ab
    kept = weights > 0
    if not kept.any():
        return np.full(len(weights), np.inf)
    return np.where(kept, np.maximum(gap, LEAST_GAP * max(float(np.median(gap[kept])), 1e-30)), np.inf)
