"""The contract of a design: which units each row of an experiment has, as a pure function of (seed, row)."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from modeldiff_core.identity import Tagged

Numbers = Sequence[int] | range | Int[np.ndarray, " rows"]
"""Numbers of rows; row r of an answer is row ``numbers[r]`` of the design, whatever else is asked for."""


class Design(Tagged):
    """A frozen dataclass with a field ``kind`` whose fields are its identity.

    Units are what a row has or has not: training examples, components of a network, features. Register a class under
    the entry-point group ``modeldiff.designs`` and a configuration can name it as ``kind``.
    """

    kind: str
    if TYPE_CHECKING:

        @property
        def units(self) -> int: ...

    @classmethod
    def member(cls, kind: str) -> type["Design"]:
        from modeldiff_core.designs import DESIGNS

        return DESIGNS.get(kind)

    @abstractmethod
    def masks(self, numbers: Numbers) -> Bool[np.ndarray, "rows units"]:
        """Return the units that each of these rows has."""

    def weights(self, numbers: Numbers) -> Float[np.ndarray, "rows units"]:
        """Return the weight of each unit in each of these rows; by default 1 if the row has it, else 0."""
        return self.masks(numbers).astype(np.float32)

    def seeds(self, numbers: Numbers) -> list[int]:
        """Return the number of each row among those of its mask, from 0; by default no mask is repeated."""
        return [0] * len(numbers)

    def costs(self, numbers: Numbers) -> list[float]:
        """Return the cost of each row in units of an average one's; 1 by default."""
        return [1.0] * len(numbers)
