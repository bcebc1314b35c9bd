"""Random subsets of one size, and those of whole groups."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from modeldiff_core.designs.design import Design, Numbers
from modeldiff_core.subsets import SubsetSampler


@dataclass(frozen=True)
class FixedSize(Design):
    """Subsets drawn uniformly among those of size round(fraction · units) (Datamodels, section 2).

    Raises ConfigError for a fraction that leaves nothing in or nothing out.
    """

    units: int
    fraction: float
    seed: int
    kind: Literal["fixed_size"] = "fixed_size"

    def __post_init__(self) -> None:
        self.sampler.__post_init__()

    @property
    def sampler(self) -> SubsetSampler:
        """What draws the subsets."""
        return SubsetSampler(self.units, self.fraction, self.seed)

    def masks(self, numbers: Numbers) -> Bool[np.ndarray, "rows units"]:
        return self.sampler.masks(numbers)


@dataclass(frozen=True)
class GroupedSize(FixedSize):
    """Subsets of one size that have the units of a group together or not at all; see SubsetSampler.

    groups: a number for each unit.
    """

    groups: tuple[int, ...] = ()
    kind: Literal["grouped_size"] = "grouped_size"  # type: ignore[assignment]

    @property
    def sampler(self) -> SubsetSampler:
        """What draws the subsets."""
        return SubsetSampler(self.units, self.fraction, self.seed, self.groups)
