"""Metadata that is commoner in a subpopulation than among other examples of its classes, and its classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from modeldiff_core.statistics import holm
from modeldiff_core.subpopulations.strata import Strata

CLASS = "class"
"""The column of an example's class."""
TRUE = "yes"
"""The value of a flag that is true."""
DISTINCT = 12
"""A column of numbers with more distinct values than this is cut at its quartiles."""
UNKNOWN = "unknown"
"""The value of a number that is not finite."""

Column = Shaped[np.ndarray, " examples"]


@dataclass(frozen=True)
class Enrichment:
    """One value of one column: how many members and how many of all examples have it, and how surprising that is.

    p: chance that as many or more members drawn at random from the same classes have it; for a class, of so many
    members drawn from all examples. p_adjusted: over all values tested in this list, or over the classes. interval:
    whether the value is a quarter of a column of numbers.
    """

    column: str
    value: str
    inside: int
    members: int
    everywhere: int
    examples: int
    p: float
    p_adjusted: float
    interval: bool = False

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
    """Test every value of every column within classes, and every class, one-sided: more than by chance.

    p = P(as many members or more have the value), by the exact test over all classes (``Strata.p``): members are set
    against other examples of their classes, so that what only follows the class is not found. Without labels it is
    Fisher's. p is adjusted by Holm over all values of all columns; a value so rare or so common that it could not
    be found whatever the members are is left out beforehand (Tarone, 1990), so a column of names costs nothing.
    Whole numbers with more than DISTINCT values may be codes or quantities: each value is tested, and each quarter;
    other numbers only by quarters. Columns of pictures (more than one number an example) are no categories. Classes
    are a family of their own: which classes an end holds describes it and is no finding (``subpopulations.words``).
    Sorted by p, then by column and value.
    """
    n, size = len(members), int(members.sum())
    if not size or size == n:
        return ()
    within, whole = Strata.of(members, labels), Strata.of(members, None)
    columns = {name: column for name, column in metadata.items() if column.ndim == 1}
    values = [one for name, column in columns.items() for one in _values(name, column, within)]
    found = _tested(values, members, within, alpha)
    if labels is not None:
        named = np.array(classes)[labels]
        found += _tested(list(_categories(CLASS, named, whole)), members, whole, alpha)
    return tuple(sorted(found, key=lambda e: (e.p, e.column, e.value)))


@dataclass(frozen=True)
class _Value:
    """A value of a column: who has it, and the least p that it could have with other members."""

    column: str
    word: str
    has: Int[np.ndarray, " having"]
    least: float
    interval: bool = False


def _tested(
    values: list[_Value], members: Bool[np.ndarray, " examples"], strata: Strata, alpha: float
) -> list[Enrichment]:
    """Return the values that could be found, with p adjusted over them."""
    kept = [values[at] for at in np.flatnonzero(_testable(np.array([one.least for one in values]), alpha))]
    ps = [strata.p(one.has, int(members[one.has].sum())) for one in kept]
    n, size = len(members), int(members.sum())
    return [
        Enrichment(
            one.column, one.word, int(members[one.has].sum()), size, len(one.has), n, p, float(adjusted), one.interval
        )
        for one, p, adjusted in zip(kept, ps, holm(np.array(ps)), strict=True)
    ]


def _testable(least: Float[np.ndarray, " values"], alpha: float) -> Bool[np.ndarray, " values"]:
    """Return which values to test (Tarone, 1990): those with least p ≤ alpha/k, for the least k that they are at most.

    The choice rests on how often each value occurs and on the sizes of classes, never on who the members are.
    """
    ordered = np.sort(least)
    for k in range(1, len(least) + 1):
        if np.searchsorted(ordered, alpha / k, side="right") <= k:
            return np.asarray(least <= alpha / k)
    return np.zeros(len(least), dtype=bool)


def _values(name: str, column: Column, strata: Strata) -> Iterator[_Value]:
    """Yield the values of a column, and the quarters of many different numbers."""
    if not np.issubdtype(column.dtype, np.number):
        yield from _categories(name, column, strata)
        return
    finite = np.isfinite(column)
    known = column[finite]
    many = len(np.unique(known)) > DISTINCT
    whole = bool((known == np.rint(known)).all())
    if whole or not many:
        words = np.array([f"{value:g}" for value in column.tolist()]) if not finite.all() else column
        yield from _categories(name, np.where(finite, words, UNKNOWN) if not finite.all() else column, strata)
    if many:
        yield from _categories(name, _quarters(column, finite), strata, interval=True)


def _quarters(column: Column, finite: Bool[np.ndarray, " examples"]) -> Column:
    """Return the quarter that each number lies in."""
    low, middle, high = (float(q) for q in np.quantile(column[finite], [0.25, 0.5, 0.75]))
    names = np.array([f"≤ {low:g}", f"{low:g} to {middle:g}", f"{middle:g} to {high:g}", f"> {high:g}", UNKNOWN])
    quarter = np.searchsorted([low, middle, high], column, side="left")
    return np.asarray(names[np.where(finite, quarter, 4)])


def _categories(name: str, column: Column, strata: Strata, *, interval: bool = False) -> Iterator[_Value]:
    values, index = np.unique(column, return_inverse=True)
    order = np.argsort(index, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(index))[:-1])
    for value, has, least in zip(values, parts, strata.least(index, len(values)), strict=True):
        # A flag that is false says what its being true says, the other way round.
        if column.dtype != np.bool_ or value:
            yield _Value(name, _word(value), has, float(least), interval)


def _word(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return TRUE
    return f"{value:g}" if isinstance(value, np.floating) else str(value)
