"""Settings of an edit, and which examples are meant."""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool
from pydantic import Field

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.settings import Settings

Value = int | float | str | bool
Examined = Bool[np.ndarray, " examples"]


class EditConfig(Settings):
    """An edit: raise or lower the outputs of some examples.

    targets: which of the test examples, by `label`, `position` or a column of the data set and its value. reference:
    whose outputs are to stay, all others if not given. most_targets: as many of the first targets choose the set, all
    if not given. limit: largest share of the reference that may turn wrong. most: largest number of components. Sets
    are chosen on the attributed examples and measured on the test examples after those.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")
    aim: Literal["raise", "lower"]
    targets: dict[str, Value]
    reference: dict[str, Value] = Field(default_factory=dict)
    most_targets: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[float, Field(ge=0, lt=1)] = 0.02
    most: Annotated[int, Field(ge=1)] = 40

    def members(self, examples: Examples) -> tuple[Examined, Examined]:
        """Return which examples are targets and which are the reference; raises ConfigError for unknown columns."""
        targets = matching(examples, self.targets, f"edits.{self.name}.targets")
        if not self.reference:
            return targets, ~targets
        return targets, matching(examples, self.reference, f"edits.{self.name}.reference") & ~targets


def matching(examples: Examples, wanted: Mapping[str, Value], key: str) -> Examined:
    """Return which examples have these values; raises ConfigError for a column that there is not."""
    columns: dict[str, np.ndarray] = {name: np.asarray(column) for name, column in examples.metadata.items()}
    columns |= {"label": examples.labels, "position": np.arange(len(examples))}
    found = np.ones(len(examples), dtype=bool)
    for name, value in wanted.items():
        if name not in columns or columns[name].ndim != 1:
            raise ConfigError(f"{key}.{name}", f"one of {', '.join(sorted(columns))}", value)
        found &= columns[name] == value
    return found
