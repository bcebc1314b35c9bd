"""What follows from replicates alone: cross-fitted values, stability, exchange tests, bootstrap intervals.

Whatever turns weights over rows into attributions can be cross-fitted, bootstrapped, and tested by exchanges; the code
here knows nothing of how it is done.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from modeldiff_core.statistics.replicates import Replicates

Estimate = Callable[[np.ndarray], np.ndarray]
"""Weights over rows [rows] to attributions [targets, units]."""
Statistic = Callable[[np.ndarray], np.ndarray]
"""Attributions [targets, units] to values [values], of which the largest is tested."""


def cross_fitted(
    estimate: Estimate, replicates: Replicates, value: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return a value that is chosen on one half of the replicates and measured on the other, averaged over both ways.

    Args:
        estimate: From weights over rows to attributions.
        replicates: What is split in halves.
        value: From the attributions that choose and those that measure, to values [values].
    """
    halves = [estimate(replicates.half(which).astype(np.float64)) for which in (0, 1)]
    return np.asarray(np.mean([value(halves[h], halves[1 - h]) for h in (0, 1)], axis=0))


def stability(estimate: Estimate, replicates: Replicates) -> Float[np.ndarray, " targets"]:
    """Return the cosine of each target's attributions between the halves of the replicates; 0 for a row of zeros."""
    a, b = (estimate(replicates.half(which).astype(np.float64)) for which in (0, 1))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray(np.divide(np.einsum("ij,ij->i", a, b), norms, out=np.zeros(len(a)), where=norms > 0))


@dataclass(frozen=True)
class ExchangeTest:
    """A maximum statistic against exchanges of whole replicates.

    Attributes:
        values: The statistic as it is.
        maxima: Its largest value under each exchange, the first of which is none.
    """

    values: Float[np.ndarray, " values"]
    maxima: Float[np.ndarray, " patterns"]

    @property
    def p(self) -> Float[np.ndarray, " values"]:
        """The share of exchanges whose largest value reaches each value; at least 1/patterns, 1 for the smallest."""
        return np.asarray((self.maxima[None, :] >= self.values[:, None] * (1 - 1e-12)).mean(axis=1))

    @property
    def floor(self) -> float:
        """The smallest p that there can be."""
        return 1 / len(self.maxima)


def exchange_test(
    differences: Float[np.ndarray, "replicates targets units"],
    statistic: Statistic,
    *,
    draws: int = 999,
    random: np.random.Generator,
) -> ExchangeTest:
    """Test the mean of paired differences A − B against exchanges of the sides of whole replicates.

    If the sides do not differ, a replicate's difference is as likely as its negative. The p of a value is the share of
    sign patterns under which the largest value of all is at least as large (a maximum statistic, Westfall and Young).

    Args:
        differences: A − B of each replicate.
        statistic: From a mean difference to values; symmetric under a change of every sign.
        draws: Random patterns, for more than MOST_PATTERNS replicates.
        random: Draws them.
    """
    count = len(differences)
    patterns = Replicates.single(count).signs(draws, random)
    values = statistic(differences.mean(axis=0))
    maxima = [statistic(np.tensordot(signs, differences, 1) / count).max() for signs in patterns]
    return ExchangeTest(np.asarray(values), np.asarray(maxima))


def bootstrap_interval(
    estimate: Estimate,
    replicates: Replicates,
    value: Callable[[np.ndarray], float],
    *,
    draws: int,
    level: float = 0.95,
    random: np.random.Generator,
) -> tuple[float, float]:
    """Return the percentile interval of a value over bootstrap samples of whole replicates."""
    values = [value(estimate(replicates.bootstrap(random))) for _ in range(draws)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
