"""Whether all targets react as strongly under A, relative to B: what the hypothesis of reliance leaves free."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.contrast import Contrast, Fits, Sample
from modeldiff_core.comparison.contrast_null import decided, drawn, null_sample, sequential_p
from modeldiff_core.comparison.slopes import log_slopes, slope_angles, slope_spread
from modeldiff_core.identity import generator

DRAWS = 199
"""Most draws; fewer where p is large early."""


@dataclass(frozen=True)
class SlopeTest:
    """How c_t is spread over targets.

    Attributes:
        middle: exp of the weighted mean of log c_t.
        spread: Standard deviation of log c_t beyond noise; 0 where chance alone makes more.
        p: Of the spread where all c_t are one.
        log_slopes: log c_t from each half of the models [2, targets]; NaN where it cannot be told.
    """

    middle: float
    spread: float
    p: float
    log_slopes: Float[np.ndarray, "2 targets"]


def slope_test(
    sample: Sample, fits: Fits, contrast: Contrast, outside: Float[np.ndarray, "train directions"] | None, seed: int
) -> SlopeTest:
    """Test that c_t is one number for all targets.

    With the mean slope tan φ_t for all, log c_t is off it by x_t = ⟨θ_z,t, θ_l,t⟩/(sin φ·cos φ·‖θ_l,t‖²) to first
    order, θ_z and θ_l the datamodels of z = cos φ·y_A − sin φ·y_B and of l = sin φ·y_A + cos φ·y_B. The statistic is
    the covariance over targets of x_t from the two halves, each target weighted by the squared length of its
    datamodels; p is its place among up to DRAWS draws in which z is permuted over masks. (Logarithms of the halves'
    own slopes have outliers where a slope is nearly 0 or infinite by chance.)

    Args:
        sample: The margins.
        fits: Their datamodels.
        contrast: Whose targets are used.
        outside: Directions outside which slopes are taken, for what differs must not bend them: those that are
            significant. Outside a direction of chance both halves' slopes are bent alike, since both chose it.
        seed: Of the draws.
    """
    weights = _weights(fits, contrast)
    logs = np.stack([log_slopes(slope_angles(*fits.products(half, outside)), sample.units) for half in (0, 1)])
    both = log_slopes(slope_angles(*fits.pooled(outside)), sample.units)
    kept = np.isfinite(both) & (weights > 0)
    middle = float(np.average(both[kept], weights=weights[kept])) if kept.any() else 0.0
    with np.errstate(divide="ignore"):
        common = np.arctan2(np.exp(middle) * sample.units[1], sample.units[0])
    lengths = _lengths(fits.pooled(outside), common)
    lengths = np.maximum(lengths, np.median(lengths[weights > 0]) / 4 if (weights > 0).any() else 1.0)
    value = _spread(fits, common, lengths, weights, outside)
    null = null_sample(sample, replace(contrast, removed=None), common)
    by_chance = np.empty(0)
    while not decided(value, by_chance, DRAWS):
        fits = drawn(null, generator("slopes", seed, len(by_chance)))
        by_chance = np.append(by_chance, _spread(fits, common, lengths, weights, outside))
    return SlopeTest(float(np.exp(middle)), float(max(value, 0.0) ** 0.5), sequential_p(value, by_chance), logs)


def _weights(fits: Fits, contrast: Contrast) -> Float[np.ndarray, " targets"]:
    """Return the squared length of each target's datamodels, A's and B's together, without noise."""
    length = sum(np.einsum("ij,ij->i", *pair) for pair in (fits.a, fits.b))
    return np.asarray(np.maximum(length, 0) * (contrast.weights > 0))


def _lengths(products: tuple[np.ndarray, np.ndarray, np.ndarray], angles: np.ndarray) -> Float[np.ndarray, " targets"]:
    """Return ‖θ_l‖² from ⟨θ_A,θ_A⟩, ⟨θ_A,θ_B⟩, ⟨θ_B,θ_B⟩."""
    c, s, (aa, ab, bb) = np.cos(angles), np.sin(angles), products
    return np.asarray(s * s * aa + 2 * s * c * ab + c * c * bb)


def _spread(
    fits: Fits, angles: np.ndarray, lengths: np.ndarray, weights: np.ndarray, outside: np.ndarray | None
) -> float:
    c, s = np.cos(angles), np.sin(angles)
    off = []
    for half in (0, 1):
        aa, ab, bb = fits.products(half, outside)
        both = np.where(lengths > 0, c * s * lengths, np.inf)
        off.append((c * s * (aa - bb) + (c * c - s * s) * ab) / np.where(both > 0, both, np.inf))
    return slope_spread(off[0], off[1], weights)
