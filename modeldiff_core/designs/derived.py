"""Designs made of another design: without some units, or with every row repeated."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from modeldiff_core.designs.design import Design, Numbers
from modeldiff_core.designs.fixed_size import FixedSize
from modeldiff_core.designs.whole import Everything
from modeldiff_core.errors import ConfigError


@dataclass(frozen=True)
class Without(Design):
    """The subsets that a design would draw if some units did not exist.

    A row of a random subset has as many units as before, since datamodels know one size: those removed from it are
    replaced by the next of its random order. A row of everything has all others.
    """

    design: FixedSize | Everything
    removed: tuple[int, ...]
    kind: Literal["without"] = "without"

    @property
    def units(self) -> int:
        """All units, the removed ones among them, which no row has."""
        return self.design.units

    def masks(self, numbers: Numbers) -> Bool[np.ndarray, "rows units"]:
        if isinstance(self.design, Everything):
            whole = self.design.masks(numbers)
            whole[:, list(self.removed)] = False
            return whole
        sampler = self.design.sampler
        masks = np.zeros((len(numbers), self.units), dtype=bool)
        for row, number in enumerate(numbers):
            order = sampler.order(int(number))
            masks[row, sampler.taken(order[~np.isin(order, self.removed)])] = True
        return masks


@dataclass(frozen=True)
class Repeated(Design):
    """Every row of a design `times` times in a row: rows number·times + k share a mask and differ by their seed k."""

    design: Design
    times: int
    kind: Literal["repeated"] = "repeated"

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ConfigError("design.times", "1 or more", self.times)

    @property
    def units(self) -> int:
        """The units of the design."""
        return self.design.units

    def masks(self, numbers: Numbers) -> Bool[np.ndarray, "rows units"]:
        return self.design.masks([int(number) // self.times for number in numbers])

    def seeds(self, numbers: Numbers) -> list[int]:
        return [int(number) % self.times for number in numbers]

    def costs(self, numbers: Numbers) -> list[float]:
        return self.design.costs([int(number) // self.times for number in numbers])
