"""Replicates: rows that are repetitions of one another and are drawn, split and exchanged as a whole."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

MOST_PATTERNS = 12
"""Most replicates of which every exchange is taken: 2^(R−1) patterns of signs."""


def equal_masks(masks: Bool[np.ndarray, "rows units"]) -> Int[np.ndarray, " rows"]:
    """Return a number for each row that rows with the same mask share, in the order in which masks first appear.

    With no mask twice that is the number of the row.
    """
    numbers: dict[bytes, int] = {}
    packed = np.packbits(masks, axis=1)
    return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in packed], np.int64)


@dataclass(frozen=True)
class Replicates:
    """The replicates of rows: a model, all models of a mask, a whole training, a checkpoint.

    Attributes:
        groups: The replicate of each row; rows of one mask, or of one training, share theirs.

    """

    groups: Int[np.ndarray, " rows"]

    @classmethod
    def single(cls, rows: int) -> "Replicates":
        """Return replicates of one row each."""
        return cls(np.arange(rows))

    @classmethod
    def repeated(cls, rows: int, times: int) -> "Replicates":
        """Return replicates of `times` rows that follow one another."""
        return cls(np.arange(rows) // times)

    @classmethod
    def of_masks(cls, masks: Bool[np.ndarray, "rows units"]) -> "Replicates":
        """Return replicates of rows with equal masks; single rows where no two are equal."""
        return cls(equal_masks(masks))

    @cached_property
    def _ranks(self) -> Int[np.ndarray, " rows"]:
        """The place of each row's group among all groups, in their order."""
        return np.asarray(np.unique(self.groups, return_inverse=True)[1])

    def __len__(self) -> int:
        return len(np.unique(self.groups))

    def select(self, rows: Bool[np.ndarray, " rows"] | Int[np.ndarray, " rows"] | slice) -> "Replicates":
        """Return the replicates of some of the rows."""
        return Replicates(self.groups[rows])

    def begun_before(self, row: int) -> Bool[np.ndarray, " rows"]:
        """Return the rows of the replicates that have a row before this one."""
        return np.isin(self.groups, self.groups[:row])

    def half(self, which: int) -> Bool[np.ndarray, " rows"]:
        """Return the rows of every other replicate, from number `which` (0 or 1) on; no replicate is split."""
        return np.asarray(self._ranks % 2 == which)

    def rows_of(self, values: Shaped[np.ndarray, " replicates"]) -> Shaped[np.ndarray, " rows"]:
        """Return each row's value of one value a replicate, such as whether it is chosen."""
        return np.asarray(values[self._ranks])

    def means(self, values: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "replicates columns"]:
        """Return the mean of each replicate's rows, in the replicates' order; rows as they are if all are single."""
        if len(self) == len(self.groups):
            return values
        sums = np.zeros((len(self), values.shape[1]))
        np.add.at(sums, self._ranks, values)
        return np.asarray(sums / np.bincount(self._ranks)[:, None])

    def parted(self, random: np.random.Generator) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
        """Return the rows of two random disjoint halves of the replicates, equally many, in a random order."""
        order, size = random.permutation(len(self)), len(self) // 2
        by_replicate = np.argsort(self._ranks, kind="stable")
        ends = np.cumsum(np.bincount(self._ranks))
        rows = np.split(by_replicate, ends[:-1])
        one, other = (np.concatenate([rows[at] for at in part]) for part in (order[:size], order[size : 2 * size]))
        return one[: len(other)], other[: len(one)]

    def exchange(self, random: np.random.Generator) -> Bool[np.ndarray, " rows"]:
        """Return the rows that change sides in a random exchange: each replicate with probability 1/2, as a whole."""
        return self.rows_of(random.random(len(self)) < 0.5)

    def signs(self, draws: int, random: np.random.Generator) -> Float[np.ndarray, "patterns rows"]:
        """Return patterns of signs under exchanges of whole replicates, the first of them as it is.

        All 2^(R−1) of them for up to MOST_PATTERNS replicates (to change every sign changes no statistic that is
        symmetric in the sides), else `draws`, all but the first of them random.
        """
        count = len(self)
        if count <= MOST_PATTERNS:
            patterns = np.array([(1.0, *rest) for rest in product((1.0, -1.0), repeat=count - 1)])
        else:
            patterns = 1.0 - 2 * random.integers(0, 2, (draws, count))
            patterns[0] = 1
        return np.asarray(patterns[:, self._ranks])

    def bootstrap(self, draws: int, random: np.random.Generator) -> Int[np.ndarray, "draws rows"]:
        """Return how often each row is in bootstrap samples of as many replicates as there are."""
        count = len(self)
        return np.asarray(random.multinomial(count, np.full(count, 1 / count), size=draws)[:, self._ranks])
