"""How much of a score chance allows: the ceiling that the seeds of held-out models put on any prediction of them.

A prediction of the mean margin of a mask's models cannot correlate perfectly with one model: seeds differ. With r the
correlation over masks of the margins of two seeds, the best possible correlation with one model is √r, and with the
mean of K seeds √(K·r / (1 + (K − 1)·r)) (Spearman, 1910; Brown, 1910).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit

from modeldiff_core.identity import generator
from modeldiff_core.statistics import correlation, rank_correlation

PARTS = 10
"""Groups of masks, and of targets, that are left out in turn for the intervals."""


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval for new masks and new targets."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """Scores of one prediction, all as means over targets of rank correlations over masks.

    Attributes:
        seeds: Models of each mask.
        one: Against the models of one seed, mean over seeds.
        mean: Against the mean over the seeds of each mask.
        ceiling_one: √r, the most that `one` can be.
        ceiling_mean: The most that `mean` can be.
        share: mean/ceiling_mean; None where seeds agree so little that it cannot be told.

    """

    seeds: int
    one: Measured
    mean: Measured
    ceiling_one: Measured
    ceiling_mean: Measured
    share: Measured | None


def bank_of(
    values: Float[np.ndarray, "models targets"], groups: Int[np.ndarray, " models"], valid: Bool[np.ndarray, " models"]
) -> tuple[Float[np.ndarray, "masks seeds targets"], Int[np.ndarray, " masks"]]:
    """Return the margins of masks all of whose models are valid, by mask and seed, and each mask's first model."""
    rows = [np.flatnonzero(groups == group) for group in dict.fromkeys(groups.tolist())]
    most = max((len(own) for own in rows), default=0)
    whole = [own for own in rows if len(own) == most and valid[own].all()]
    if not whole:
        return np.empty((0, most, values.shape[1]), values.dtype), np.empty(0, np.int64)
    return np.stack([values[own] for own in whole]), np.array([own[0] for own in whole])


def reliability(
    predicted: Float[np.ndarray, "masks targets"], bank: Float[np.ndarray, "masks seeds targets"]
) -> Reliability | None:
    """Return the scores and their ceilings; None with fewer than 2 seeds or 3 masks, which tell no ceiling.

    Intervals: a jackknife that leaves out one of PARTS groups of masks, and one that leaves out one of PARTS groups of
    targets; their variances are added, with Student's t.
    """
    masks, seeds, targets = bank.shape
    if seeds < 2 or masks < 3:
        return None

    def numbers(rows: np.ndarray, columns: np.ndarray) -> Float[np.ndarray, " numbers"]:
        return _numbers(predicted[np.ix_(rows, columns)], bank[rows][:, :, columns])

    everything = np.arange(masks), np.arange(targets)
    value = numbers(*everything)
    variance = _jackknife(masks, lambda rows: numbers(rows, everything[1]))
    variance = variance + _jackknife(targets, lambda columns: numbers(everything[0], columns))
    reach = float(stdtrit(min(PARTS, masks) - 1, 0.975)) * np.sqrt(variance)
    measured = [Measured(*map(float, (v, v - r, v + r))) for v, r in zip(value, reach, strict=True)]
    one, mean, ceiling_one, ceiling_mean, share = measured
    known = all(np.isfinite([share.value, share.low, share.high]))
    return Reliability(seeds, one, mean, ceiling_one, ceiling_mean, share if known else None)


def _numbers(
    predicted: Float[np.ndarray, "masks targets"], bank: Float[np.ndarray, "masks seeds targets"]
) -> Float[np.ndarray, "5"]:
    seeds = bank.shape[1]
    truth = bank.astype(np.float64)
    x = predicted.astype(np.float64)
    one = float(np.mean([rank_correlation(x, truth[:, seed]).mean() for seed in range(seeds)]))
    mean = float(rank_correlation(x, truth.mean(1)).mean())
    pairs = [correlation(truth[:, i], truth[:, j]).mean() for i in range(seeds) for j in range(i)]
    r = max(float(np.mean(pairs)), 0.0)
    whole = (seeds * r / (1 + (seeds - 1) * r)) ** 0.5
    return np.array([one, mean, r**0.5, whole, mean / whole if whole > 0 else np.nan])


def _jackknife(count: int, numbers: Callable[[np.ndarray], np.ndarray]) -> Float[np.ndarray, " numbers"]:
    """Return the variance of numbers from leaving out groups of so many things; 0 where there are fewer than two."""
    parts = min(PARTS, count // 2)
    if parts < 2:
        return np.zeros(1)
    groups = np.array_split(generator("jackknife", count).permutation(count), parts)
    left = np.stack([numbers(np.setdiff1d(np.arange(count), group)) for group in groups])
    found: np.ndarray = (parts - 1) / parts * np.square(left - left.mean(0)).sum(0)
    return found
