"""Every combination of the levels of some factors, each with a cost of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from modeldiff_core.designs.design import Numbers
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import canonical_json

Level = float | int | str | bool
Cell = dict[str, Level]
"""A level for each factor."""


@dataclass(frozen=True)
class Factor:
    """A factor and its levels. cost: of each level in units of an average one's, multiplied over factors."""

    name: str
    levels: tuple[Level, ...]
    cost: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        key = f"grid.{self.name}"
        if not self.levels:
            raise ConfigError(key, "one level or more", list(self.levels))
        if len({canonical_json(level) for level in self.levels}) < len(self.levels):
            raise ConfigError(key, "distinct levels", list(self.levels))
        if self.cost and len(self.cost) != len(self.levels):
            raise ConfigError(f"{key}.cost", f"{len(self.levels)} costs, one a level", list(self.cost))
        if any(not cost > 0 for cost in self.cost):
            raise ConfigError(f"{key}.cost", "costs above 0", list(self.cost))


@dataclass(frozen=True)
class Grid:
    """The full factorial design; the last factor varies fastest, and every cell is repeated with `seeds` seeds.

    Row i is cell i // seeds with seed i % seeds. Raises ConfigError for factors of one name.
    """

    factors: tuple[Factor, ...]
    seeds: int = 1
    kind: Literal["grid"] = "grid"

    def __post_init__(self) -> None:
        names = [factor.name for factor in self.factors]
        if not names or len(set(names)) < len(names):
            raise ConfigError("grid", "factors with distinct names", names)
        if self.seeds < 1:
            raise ConfigError("grid.seeds", "1 or more", self.seeds)

    def __len__(self) -> int:
        return len(self._combinations()) * self.seeds

    def cell(self, number: int) -> Cell:
        """Return the levels of a row."""
        return dict(
            zip((factor.name for factor in self.factors), self._combinations()[number // self.seeds], strict=True)
        )

    def seed(self, number: int) -> int:
        """Return the seed of a row, from 0."""
        return number % self.seeds

    def costs(self, numbers: Numbers | Sequence[int]) -> list[float]:
        """Return the product of the costs of each row's levels."""
        found = []
        for number in numbers:
            cell, cost = self.cell(int(number)), 1.0
            for factor in self.factors:
                if factor.cost:
                    cost *= factor.cost[factor.levels.index(cell[factor.name])]
            found.append(cost)
        return found

    def _combinations(self) -> list[tuple[Level, ...]]:
        return list(product(*(factor.levels for factor in self.factors)))


def balanced(costs: Sequence[float], shards: int) -> list[list[int]]:
    """Return rows dealt to shards so that the costliest shard is cheap: the longest first, each to the cheapest shard.

    The largest sum is at most 4/3 of the best one (Graham 1969). Shards list their rows in order; empty ones are left
    out.
    """
    sums, rows = [0.0] * shards, [list[int]() for _ in range(shards)]
    for row in sorted(range(len(costs)), key=lambda row: (-costs[row], row)):
        cheapest = min(range(shards), key=lambda shard: (sums[shard], shard))
        rows[cheapest].append(row)
        sums[cheapest] += costs[row]
    return [sorted(shard) for shard in rows if shard]
