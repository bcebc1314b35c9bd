"""Chances of drawing examples with a value where as many members of every class are drawn as there are."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import gammaln


@dataclass(frozen=True)
class Strata:
    """Classes of examples, with how many examples each has and how many of them are members.

    Members take random places within their classes, so that of those of class c the number with a value is
    hypergeometric, independently of other classes.
    """

    index: Int[np.ndarray, " examples"]
    examples: Int[np.ndarray, " classes"]
    members: Int[np.ndarray, " classes"]

    @classmethod
    def of(cls, members: Bool[np.ndarray, " examples"], labels: Int[np.ndarray, " examples"] | None) -> "Strata":
        """Return the classes; one class of all examples where labels are not known."""
        index = np.zeros(len(members), np.int64) if labels is None else np.unique(labels, return_inverse=True)[1]
        counts = np.bincount(index)
        return cls(index, counts, np.bincount(index[members], minlength=len(counts)))

    def p(self, has: Int[np.ndarray, " having"], inside: int) -> float:
        """Return the chance that so many or more members are among the examples at these positions."""
        having = np.bincount(self.index[has], minlength=len(self.examples))
        chances = np.ones(1)
        for c in np.flatnonzero((having > 0) & (self.members > 0)):
            k = np.arange(min(having[c], self.members[c]) + 1)
            own = np.exp(self._log_chance(k, np.full_like(k, having[c]), np.full_like(k, c)))
            chances = np.convolve(chances, own)
        # The smaller tail is summed, so that a tiny chance keeps its digits.
        return float(min(1.0, chances[inside:].sum())) if inside < len(chances) else 0.0

    def least(self, value: Int[np.ndarray, " examples"], values: int) -> Float[np.ndarray, " values"]:
        """Return for each of the values the chance that as many members have it as could: its least p.

        value: which of them each example has.
        """
        both, having = np.unique(value * len(self.examples) + self.index, return_counts=True)
        of, c = both // len(self.examples), both % len(self.examples)
        out = np.zeros(values)
        np.add.at(out, of, self._log_chance(np.minimum(having, self.members[c]), having, c))
        return np.asarray(np.exp(out))

    def _log_chance(
        self, k: Int[np.ndarray, " cases"], having: Int[np.ndarray, " cases"], c: Int[np.ndarray, " cases"]
    ) -> Float[np.ndarray, " cases"]:
        """Return log of C(having, k)·C(examples − having, members − k)/C(examples, members) in class c."""
        n, size = self.examples[c], self.members[c]
        return np.asarray(_log_choose(having, k) + _log_choose(n - having, size - k) - _log_choose(n, size))


def _log_choose(n: Int[np.ndarray, " cases"], k: Int[np.ndarray, " cases"]) -> Float[np.ndarray, " cases"]:
    """Return log C(n, k); −∞ where k is not in 0..n."""
    within = (k >= 0) & (k <= n)
    inside = np.where(within, k, 0)
    return np.where(within, gammaln(n + 1) - gammaln(inside + 1) - gammaln(n - inside + 1), -np.inf)
