"""Replicates: what is exchangeable between repetitions, and what follows from that alone.

A replicate is a group of rows that is drawn as a whole: a model, all models of a mask, a whole training, a checkpoint.
Whatever turns weights over rows into attributions can be cross-fitted, bootstrapped, and tested by exchanges; the code
here knows nothing of how it is done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int

Estimate = Callable[[np.ndarray], np.ndarray]
"""Weights over rows [rows] to attributions [targets, units]."""
Statistic = Callable[[np.ndarray], np.ndarray]
"""Attributions [targets, units] to values [values], of which the largest is tested."""
MOST_PATTERNS = 12
"""Most replicates of which every exchange is taken: 2^(R−1) patterns of signs."""


@dataclass(frozen=True)
class Replicates:
    """The replicates of rows.

    Attributes:
        groups: The replicate of each row; rows of one mask, or of one training, share theirs.
        paired: Whether replicate g of one side belongs to replicate g of the other, as models of one mask do.
    """

    groups: Int[np.ndarray, " rows"]
    paired: bool = True

    @classmethod
    def single(cls, rows: int) -> "Replicates":
        """Return replicates of one row each."""
        return cls(np.arange(rows))

    @cached_property
    def _ranks(self) -> Int[np.ndarray, " rows"]:
        """The place of each row's group among all groups, in their order."""
        return np.asarray(np.unique(self.groups, return_inverse=True)[1])

    def __len__(self) -> int:
        return len(np.unique(self.groups))

    def half(self, which: int) -> Bool[np.ndarray, " rows"]:
        """Return the rows of every other replicate, from number `which` (0 or 1) on; no replicate is split."""
        return np.asarray(self._ranks % 2 == which)

    def rows_of(self, chosen: Bool[np.ndarray, " replicates"]) -> Bool[np.ndarray, " rows"]:
        """Return the rows of the chosen replicates."""
        return np.asarray(chosen[self._ranks])

    def exchange(self, random: np.random.Generator) -> Bool[np.ndarray, " rows"]:
        """Return the rows that change sides in a random exchange: each replicate with probability 1/2, as a whole."""
        return self.rows_of(random.random(len(self)) < 0.5)

    def signs(self, draws: int, random: np.random.Generator) -> Float[np.ndarray, "patterns rows"]:
        """Return patterns of signs under exchanges of whole replicates, the first of them as it is.

        All 2^(R−1) of them for up to MOST_PATTERNS replicates (to change every sign changes no statistic that is
        symmetric in the sides), else that many random ones.
        """
        count = len(self)
        if count <= MOST_PATTERNS:
            patterns = np.array([(1.0, *rest) for rest in product((1.0, -1.0), repeat=count - 1)])
        else:
            patterns = np.vstack([np.ones(count), np.where(random.random((draws, count)) < 0.5, -1.0, 1.0)])
        return np.asarray(patterns[:, self._ranks])

    def bootstrap(self, random: np.random.Generator) -> Float[np.ndarray, " rows"]:
        """Return weights of rows in a bootstrap sample of replicates; they sum to the number of rows in expectation."""
        drawn = random.integers(len(self), size=len(self))
        return np.asarray(np.bincount(drawn, minlength=len(self))[self._ranks], np.float64)


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
