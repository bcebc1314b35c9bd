"""Whether a measure rises or falls over ordered groups: Jonckheere's test and a slope, with models as units."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, stdtrit

from modeldiff_core.errors import DataError

Group = Float[np.ndarray, " _"]
"""The measure of each model of a group; groups may differ in size."""


@dataclass(frozen=True)
class Trend:
    """A trend over ordered groups.

    Attributes:
        statistic: Jonckheere's J: pairs of models of different groups in which the one of the later group is larger,
            ties counting half.
        share: J over the number of such pairs; .5 without a trend, 1 if every later group lies above every earlier.
        z: (J − E J)/sd J under the hypothesis that all models are of one distribution.
        p: two-sided, from the normal approximation.
        slope: least squares slope of the measure on the levels.
        low: lower end of the slope's interval.
        high: upper end of the slope's interval.
    """

    statistic: float
    share: float
    z: float
    p: float
    slope: float
    low: float
    high: float


def trend(groups: Sequence[Group], levels: Sequence[float] | None = None, level: float = 0.95) -> Trend:
    """Return Jonckheere's test of ordered groups, and the slope on their levels with its interval.

    With n_g models in group g, N in all and t_v models that share the value v (Jonckheere, 1954; Hollander and Wolfe,
    section 6.2, with ties):

    J = Σ_{g<h} #{x_g < x_h} + ½·#{x_g = x_h}, E J = (N² − Σ n_g²)/4,
    var J = [N(N−1)(2N+5) − Σ n(n−1)(2n+5) − Σ t(t−1)(2t+5)]/72
            + [Σ n(n−1)(n−2)]·[Σ t(t−1)(t−2)]/(36·N(N−1)(N−2)) + [Σ n(n−1)]·[Σ t(t−1)]/(8·N(N−1)).

    The slope is that of ordinary least squares over all models; its standard error is robust to groups of different
    spread (HC3: each residual is divided by 1 − its leverage), with Student's t of N − 2 degrees of freedom.

    Args:
        groups: The measure of each model, group after group in their order; two groups or more of two models or more.
        levels: The place of each group on the axis of the slope; 0, 1, 2, ... if not given.
        level: Confidence of the slope's interval.

    Raises:
        DataError: For fewer groups or models, values that are not finite, levels that do not rise or are not as many.

    """
    places = np.arange(len(groups), dtype=np.float64) if levels is None else np.asarray(levels, dtype=np.float64)
    _check(groups, places)
    counts = np.array([len(group) for group in groups])
    values = np.concatenate(groups).astype(np.float64)
    statistic = sum(_larger(earlier, later) for at, earlier in enumerate(groups[:-1]) for later in groups[at + 1 :])
    total = len(values)
    pairs = (total**2 - float(np.square(counts).sum())) / 2
    z = (statistic - pairs / 2) / np.sqrt(_variance(counts, np.unique(values, return_counts=True)[1]))
    z = float(z) if np.isfinite(z) else 0.0
    slope, error = _slope(np.repeat(places, counts), values)
    half = float(stdtrit(total - 2, 0.5 + level / 2)) * error
    return Trend(statistic, statistic / pairs, z, float(2 * ndtr(-abs(z))), slope, slope - half, slope + half)


def _check(groups: Sequence[Group], levels: Float[np.ndarray, " groups"]) -> None:
    if len(groups) < 2 or min(len(group) for group in groups) < 2:
        raise DataError(f"a trend takes two groups or more of two models or more, got {[len(g) for g in groups]}")
    if not all(np.isfinite(group).all() for group in groups):
        raise DataError("a trend takes finite values")
    if len(levels) != len(groups) or (np.diff(levels) <= 0).any():
        raise DataError(f"a trend over {len(groups)} groups takes as many levels that rise, got {levels.tolist()}")


def _larger(earlier: Group, later: Group) -> float:
    """Return the pairs in which the later group's value is larger, ties counting half."""
    ordered = np.sort(earlier)
    below = np.searchsorted(ordered, later, side="left") + np.searchsorted(ordered, later, side="right")
    return float(below.sum()) / 2


def _variance(counts: np.ndarray, ties: np.ndarray) -> float:
    """Return var J under the hypothesis; 0 where all values are equal."""
    n, t = counts.astype(np.float64), ties.astype(np.float64)
    total = n.sum()

    def fifth(x: np.ndarray) -> float:
        return float((x * (x - 1) * (2 * x + 5)).sum())

    first = (fifth(np.array([total])) - fifth(n) - fifth(t)) / 72
    triples = float((n * (n - 1) * (n - 2)).sum() * (t * (t - 1) * (t - 2)).sum())
    second = triples / (36 * total * (total - 1) * (total - 2))
    third = float((n * (n - 1)).sum() * (t * (t - 1)).sum()) / (8 * total * (total - 1))
    return max(first + second + third, 0.0) or float("inf")


def _slope(x: Float[np.ndarray, " models"], y: Float[np.ndarray, " models"]) -> tuple[float, float]:
    """Return the least squares slope and its HC3 standard error."""
    away, y = x - x.mean(), y - y[0]  # equal values have no slope, whatever the rounding
    scale = float(away @ away)
    slope = float(away @ y) / scale
    residuals = y - y.mean() - slope * away
    leverage = 1 / len(x) + np.square(away) / scale
    error = np.sqrt(float(np.square(away * residuals / (1 - leverage)).sum())) / scale
    return slope, float(error)
