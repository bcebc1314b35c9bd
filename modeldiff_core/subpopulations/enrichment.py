"""Classes and metadata that are commoner in a subpopulation than elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Shaped
from scipy.stats import hypergeom

from modeldiff_core.statistics import holm

CLASS = "class"
"""The column of an example's class."""
TRUE = "yes"
"""The value of a flag that is true."""
DISTINCT = 12
"""A column of numbers with more distinct values than this is cut at its quartiles."""


@dataclass(frozen=True)
class Enrichment:
    """One value of one column: how many members and how many of all examples have it, and how surprising that is.

    p: chance that as many or more of so many members drawn at random have it. p_adjusted: over all values tested.
    """

    column: str
    value: str
    inside: int
    members: int
    everywhere: int
    examples: int
    p: float
    p_adjusted: float

    @property
    def share(self) -> float:
        """Share of the members that have the value."""
        return self.inside / self.members

    @property
    def overall(self) -> float:
        """Share of all examples that have it."""
        return self.everywhere / self.examples


def enrichments(
    members: Bool[np.ndarray, " examples"],
    labels: Int[np.ndarray, " examples"] | None,
    classes: tuple[str, ...],
    metadata: Mapping[str, Shaped[np.ndarray, "examples ..."]],
    alpha: float = 0.05,
) -> tuple[Enrichment, ...]:
    """Fisher's exact test (one-sided, more than by chance) of every class and every value of every column.

    p = Σ_{k ≥ inside} C(everywhere, k)·C(examples − everywhere, members − k)/C(examples, members), adjusted by Holm
    over all values of all columns. A value so rare or so common that its p could not reach `alpha` whatever the
    members are is left out beforehand (Tarone, 1990), so a column of names costs nothing. Columns of pictures (more
    than one number an example) are no categories, and without labels there are no classes. Sorted by p, then by
    column and value.
    """
    n, size = len(members), int(members.sum())
    if not size or size == n:
        return ()
    columns = {
        **({} if labels is None else {CLASS: np.array(classes)[labels]}),
        **{name: _categories(c) for name, c in metadata.items() if c.ndim == 1},
    }
    rows = []
    for name, column in columns.items():
        values, index = np.unique(column, return_inverse=True)
        everywhere, inside = np.bincount(index), np.bincount(index[members], minlength=len(values))
        for value, k, total in zip(values, inside, everywhere, strict=True):
            # A flag that is false says what its being true says, the other way round.
            if column.dtype == np.bool_ and not value:
                continue
            most = min(int(total), size)
            if hypergeom.sf(most - 1, n, total, size) <= alpha:
                rows.append((name, _word(value), int(k), int(total), float(hypergeom.sf(k - 1, n, total, size))))
    adjusted = holm(np.array([row[-1] for row in rows]))
    found = [
        Enrichment(name, value, k, size, total, n, p, float(corrected))
        for (name, value, k, total, p), corrected in zip(rows, adjusted, strict=True)
    ]
    return tuple(sorted(found, key=lambda e: (e.p, e.column, e.value)))


def _categories(column: Shaped[np.ndarray, " examples"]) -> Shaped[np.ndarray, " examples"]:
    """Return the column, or the quarter that each of many different numbers lies in."""
    if not np.issubdtype(column.dtype, np.number):
        return column
    known = column[np.isfinite(column)]
    if len(np.unique(known)) <= DISTINCT:
        return column
    low, middle, high = (float(q) for q in np.quantile(known, [0.25, 0.5, 0.75]))
    names = np.array([f"≤ {low:g}", f"{low:g} to {middle:g}", f"{middle:g} to {high:g}", f"> {high:g}", "unknown"])
    quarter = np.searchsorted([low, middle, high], column, side="left")
    return np.asarray(names[np.where(np.isfinite(column), quarter, 4)])


def _word(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return TRUE
    return f"{value:g}" if isinstance(value, np.floating) else str(value)
