"""Units that are kept independently of each other, alone or in complementary pairs."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from modeldiff_core.designs.design import Design, Numbers
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator


@dataclass(frozen=True)
class Bernoulli(Design):
    """Every unit is in a row with probability `keep`, independently (COAR, section 3, ablates with 1 − keep).

    Raises ConfigError for a probability outside (0, 1).
    """

    units: int
    keep: float
    seed: int
    kind: Literal["bernoulli"] = "bernoulli"

    def __post_init__(self) -> None:
        if not 0 < self.keep < 1:
            raise ConfigError("design.keep", "a probability in (0, 1)", self.keep)

    def masks(self, numbers: Numbers) -> Bool[np.ndarray, "rows units"]:
        masks = np.zeros((len(numbers), self.units), dtype=bool)
        for row, number in enumerate(numbers):
            masks[row] = generator("bernoulli", self.seed, int(number)).random(self.units) < self.keep
        return masks


@dataclass(frozen=True)
class ComplementPairs(Design):
    """Rows 2i and 2i + 1 are a random half of the units and the other half.

    The mean of a pair's outputs holds no linear effect of the mask, their difference no even one. With an odd number of
    units the first of a pair has one unit fewer.
    """

    units: int
    seed: int
    kind: Literal["complement_pairs"] = "complement_pairs"

    def masks(self, numbers: Numbers) -> Bool[np.ndarray, "rows units"]:
        masks = np.zeros((len(numbers), self.units), dtype=bool)
        for row, number in enumerate(numbers):
            pair, second = divmod(int(number), 2)
            order = generator("pair", self.seed, pair).permutation(self.units)
            masks[row, order[self.units // 2 :] if second else order[: self.units // 2]] = True
        return masks
