"""Candidates for examples that are no images: columns set and shifted, tokens inserted and masked."""

from collections.abc import Iterator
from itertools import chain, islice, zip_longest

import numpy as np
from jaxtyping import Float

from modeldiff_core.data import Examples
from modeldiff_core.data.kinds import LENGTH, Table
from modeldiff_core.statistics import within_classes
from modeldiff_core.transformations.candidates import TransformationTest
from modeldiff_core.transformations.ends import End, OrderedExamples, ends
from modeldiff_core.transformations.whole_image import Proposed

DIGITS = 4
"""Digits of a value that is set: it is part of the name and the configuration of what is found."""
CATEGORY = "="
"""Between a column and its category in the name of a feature that says whether a row has it."""


def propose_named(
    targets: OrderedExamples, train: OrderedExamples, share: float, limit: int
) -> tuple[TransformationTest, ...]:
    """At most `limit` transformations that give an example what those along the direction have.

    Named numbers of the examples (columns, categories as 0 and 1, tokens as 0 and 1) are ordered by their contrast
    along the direction within classes, t = (t_targets + t_train)/√2. Each end takes turns with the other.
    """
    contrast = _contrast(targets.some(), train.some())
    lists = []
    for end in ends(targets, train, share):
        sign = 1 if end.sign == "positive" else -1
        ordered = sorted(contrast, key=lambda name: -abs(contrast[name]))
        proposed = list(_of_end(end, targets.examples, ordered, {name: sign * t for name, t in contrast.items()}))
        lists.append([end.test(*one) for one in proposed])
        if end.target_class is not None:
            lists.append([end.test(*one, own_class=True) for one in proposed])
    turns = chain.from_iterable(zip_longest(*lists))
    unique = {(t.kind, t.target_class, str(t.parameters)): t for t in turns if t is not None}
    return tuple(islice(unique.values(), limit))


def numbers_of(examples: Examples) -> dict[str, Float[np.ndarray, " examples"]]:
    """Return the named numbers of examples, and each category as 0 and 1 by ``column=category``."""
    kind, found = examples.kind, dict(examples.kind.features(examples.images))
    if isinstance(kind, Table):
        for name, column in kind.categories(examples.images).items():
            of = kind.columns[kind.names.index(name)].categories
            found |= {f"{name}{CATEGORY}{category}": (column == category).astype(np.float64) for category in of}
    return found


def _contrast(*parts: OrderedExamples) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        named = numbers_of(part.examples)
        values = np.stack(list(named.values()), axis=1)
        found = within_classes(values, part.values.astype(np.float64), part.examples.strata)
        for at, name in enumerate(named):
            total[name] = total.get(name, 0.0) + (0.0 if found is None else float(found.t[at]) / np.sqrt(2))
    return total


def _of_end(end: End, examples: Examples, ordered: list[str], contrast: dict[str, float]) -> Iterator[Proposed]:
    if isinstance(examples.kind, Table):
        for name in ordered:
            yield from _columns(end, examples.kind, name, contrast[name])
        return
    for token in ordered:
        if token == LENGTH:
            continue
        if contrast[token] > 0:
            yield f"insert {token!r}", "insert_token", {"token": token}
        else:
            yield f"mask {token!r}", "mask_tokens", {"token": token}


def _columns(end: End, table: Table, name: str, t: float) -> Iterator[Proposed]:
    """Yield what gives a row the value that the end's members have, or moves it as they lie from others."""
    if name not in table.names:
        column, _, category = name.partition(CATEGORY)
        if t > 0 and column in table.names:
            yield f"set {column} to {category}", "set_column", {"column": column, "value": category}
        return
    values = end.images[:, 0, table.names.index(name), 0]
    middle = _rounded(float(np.median(values)))
    yield f"set {name} to {middle:g}", "set_column", {"column": name, "value": middle}
    at = table.names.index(name)
    apart = end.difference(lambda rows: rows[:, 0, at, 0])
    if apart is not None and (by := _rounded(float(apart))):
        yield f"shift {name} by {by:g}", "shift_column", {"column": name, "by": by}


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
