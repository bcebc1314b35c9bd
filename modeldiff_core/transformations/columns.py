"""Transformations of rows of a table: a column set to a value, or shifted by one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from modeldiff_core.data import Examples
from modeldiff_core.data.kinds import Inputs, Table
from modeldiff_core.errors import ConfigError, meant
from modeldiff_core.transformations.pixels import AnyShape, require
from modeldiff_core.transformations.shares import reached


@dataclass(frozen=True)
class OfColumn(AnyShape):
    """A change of one column, whose place in the rows is known."""

    at: int
    change: Callable[[Float[np.ndarray, " rows"], float, Inputs], Float[np.ndarray, " rows"]]
    takes: ClassVar[tuple[str, ...]] = (Table.name,)

    def __call__(self, images: Inputs, intensity: float) -> Inputs:
        out = images.copy()
        out[:, 0, self.at, 0] = self.change(images[:, 0, self.at, 0], intensity, images)
        return out


class _Named(AnyShape):
    """A change of a column that is named, and found once the table is known."""

    takes: ClassVar[tuple[str, ...]] = (Table.name,)
    column: str

    def _place(self, examples: Examples) -> tuple[Table, int]:
        """Return the table and the place of the column; raises ConfigError where there is none of that name."""
        table = examples.kind
        require(isinstance(table, Table), "column", "rows of a table", examples.kind.name)
        assert isinstance(table, Table)
        if self.column not in table.names:
            hint = meant(self.column, table.names)
            raise ConfigError("transformations.column", f"one of {', '.join(table.names)}", self.column, hint)
        return table, table.names.index(self.column)

    def __call__(self, images: Inputs, intensity: float) -> Inputs:
        raise ConfigError("transformations", f"rows of a table with a column {self.column!r}", None)


@dataclass(frozen=True)
class SetColumn(_Named):
    """Sets a column to a value: (1 − intensity)·x + intensity·value.

    Of a column of text `value` is a category, which a row gets from an intensity on that is its own.
    """

    column: str
    value: float | str

    def on(self, examples: Examples) -> OfColumn:
        """Return the change of these rows; raises ConfigError for a value that the column cannot have."""
        table, at = self._place(examples)
        categories = table.columns[at].categories
        if categories:
            if self.value not in categories:
                expected = f"a category of {self.column!r}: {', '.join(categories[:8])}"
                raise ConfigError("transformations.value", expected, self.value)
            place = float(categories.index(str(self.value)))
            return OfColumn(at, lambda own, t, rows: np.where(reached(rows, t), place, own))
        if isinstance(self.value, str):
            raise ConfigError("transformations.value", f"a number, as {self.column!r} holds", self.value)
        value = float(self.value)
        return OfColumn(at, lambda own, t, rows: (1 - t) * own + t * value)


@dataclass(frozen=True)
class ShiftColumn(_Named):
    """Adds to a column of numbers: x + intensity·by."""

    column: str
    by: float

    def on(self, examples: Examples) -> OfColumn:
        """Return the change of these rows; raises ConfigError for a column of text."""
        table, at = self._place(examples)
        if table.columns[at].categories:
            raise ConfigError("transformations.column", "a column of numbers; set_column takes text", self.column)
        return OfColumn(at, lambda own, t, rows: own + t * self.by)
