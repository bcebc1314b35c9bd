"""A column planted in a table that leaks the target, so that the difference between two algorithms is known."""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from jaxtyping import Float

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.frames import with_column
from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.limits import Limit, check_limits


@dataclass(frozen=True)
class Leak:
    """A column of noise, in which some rows of one class stand out by `strength` standard deviations.

    Values are drawn from a normal distribution of mean 0 and deviation 1; round(fraction·count) rows of class `label`
    have `strength` added, and metadata 'planted' says which. column: its name. seed: of the draws.
    """

    column: str = "leak"
    label: int = 1
    fraction: Annotated[float, Limit(above=0, most=1, what="a share of the rows of the class")] = 0.7
    strength: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_limits(self, Check("dataset.leak"))

    def plant(self, data: Dataset) -> Dataset:
        """Return the table with the column at its end; raises ConfigError for a class without rows."""
        train, test = (self._values(part, name) for name, part in (("train", data.train), ("test", data.test)))
        leaking = with_column(data, self.column, train[0], test[0])
        parts = [
            replace(part, metadata={**part.metadata, "planted": chosen})
            for part, (_, chosen) in ((leaking.train, train), (leaking.test, test))
        ]
        return replace(leaking, train=parts[0], test=parts[1])

    def _values(self, part: Examples, name: str) -> tuple[Float[np.ndarray, " rows"], np.ndarray]:
        of_class = np.flatnonzero(part.labels == self.label)
        if not len(of_class):
            raise ConfigError("dataset.leak.label", f"a class with rows in the {name} set", self.label)
        random = generator("leak", self.seed, name)
        values = random.standard_normal(len(part))
        chosen = np.zeros(len(part), bool)
        chosen[random.permutation(of_class)[: round(self.fraction * len(of_class))]] = True
        return values + self.strength * chosen, chosen
