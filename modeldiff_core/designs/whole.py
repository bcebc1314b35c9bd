"""Designs whose rows all have the same units, or are listed one by one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from modeldiff_core.designs.design import Design, Numbers
from modeldiff_core.errors import ConfigError


@dataclass(frozen=True)
class Everything(Design):
    """Every row has every unit: rows differ by their seeds alone, as the models of a full-data ensemble do."""

    units: int
    kind: Literal["everything"] = "everything"

    def masks(self, numbers: Numbers) -> Bool[np.ndarray, "rows units"]:
        return np.ones((len(numbers), self.units), dtype=bool)


@dataclass(frozen=True)
class Listed(Design):
    """The rows as they were given: the units of each, by their positions.

    Raises ConfigError for positions beyond the units, and on asking for a row that is not listed.
    """

    units: int
    rows: tuple[tuple[int, ...], ...]
    kind: Literal["listed"] = "listed"

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            wrong = [unit for unit in row if not 0 <= unit < self.units]
            if wrong:
                raise ConfigError(f"design.rows.{number}", f"units in 0..{self.units - 1}", wrong[0])

    def masks(self, numbers: Numbers) -> Bool[np.ndarray, "rows units"]:
        masks = np.zeros((len(numbers), self.units), dtype=bool)
        for at, number in enumerate(numbers):
            if not 0 <= int(number) < len(self.rows):
                raise ConfigError("design.rows", f"at least {int(number) + 1} rows", len(self.rows))
            masks[at, list(self.rows[int(number)])] = True
        return masks
