"""Whether all targets react as strongly under A, relative to B: what the hypothesis of reliance leaves free."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.contrast import Contrast, Fits, Sample
from modeldiff_core.comparison.contrast_null import drawn, null_sample
from modeldiff_core.comparison.slopes import log_slopes, slope_angles, slope_spread
from modeldiff_core.identity import generator

DRAWS = 39


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
    sample: Sample, fits: Fits, contrast: Contrast, outside: Float[np.ndarray, "train directions"], seed: int
) -> SlopeTest:
    """Test that c_t is one number for all targets.

    The statistic is the covariance over targets of log c_t from the two halves, each target weighted by the
    squared length of its datamodels; p is its place among DRAWS draws in which margins hold one common slope and
    cos φ_t·y_A − sin φ_t·y_B with that slope is permuted over masks.

    Args:
        sample: The margins.
        fits: Their datamodels.
        contrast: Whose targets are used.
        outside: Directions outside which slopes are taken: what differs must not bend them.
        seed: Of the draws.
    """
    weights = _weights(fits, contrast)
    value, logs, middle = _spread(fits, sample.units, weights, outside)
    with np.errstate(divide="ignore"):
        common = np.arctan2(np.exp(middle) * sample.units[1], sample.units[0])
    null = null_sample(sample, replace(contrast, removed=None), common)
    reached = 0
    for draw in range(DRAWS):
        by_chance = _spread(drawn(null, generator("slopes", seed, draw)), sample.units, weights, outside)[0]
        reached += by_chance >= value
    return SlopeTest(float(np.exp(middle)), float(max(value, 0.0) ** 0.5), (1 + reached) / (1 + DRAWS), logs)


def _weights(fits: Fits, contrast: Contrast) -> Float[np.ndarray, " targets"]:
    """Return the squared length of each target's datamodels, A's and B's together, without noise."""
    length = sum(np.einsum("ij,ij->i", *pair) for pair in (fits.a, fits.b))
    return np.asarray(np.maximum(length, 0) * (contrast.weights > 0))


def _spread(
    fits: Fits, units: np.ndarray, weights: np.ndarray, outside: np.ndarray
) -> tuple[float, Float[np.ndarray, "2 targets"], float]:
    logs = np.stack([log_slopes(slope_angles(*fits.products(half, outside)), units) for half in (0, 1)])
    both = logs.mean(0)
    kept = np.isfinite(both) & (weights > 0)
    middle = float(np.average(both[kept], weights=weights[kept])) if kept.any() else 0.0
    return slope_spread(logs[0], logs[1], weights), logs, middle
