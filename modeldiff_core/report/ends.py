"""The two ends of a direction: the examples that lie furthest on either side, and what they have in common."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from modeldiff_core.data import Known
from modeldiff_core.report.words import number, percent

Sign = Literal["positive", "negative"]


@dataclass(frozen=True)
class End:
    """Positions of the examples at one end, furthest first, and their projections or weights."""

    sign: Sign
    index: Int[np.ndarray, " chosen"]
    values: Float[np.ndarray, " chosen"]


def ends(values: Float[np.ndarray, " examples"], count: int) -> tuple[End, End]:
    """Return the `count` largest positive values and the `count` most negative ones; an end may hold fewer, even
    none.
    """
    order = np.argsort(-values, kind="stable")
    top, bottom = order[:count], order[::-1][:count]
    top, bottom = top[values[top] > 0], bottom[values[bottom] < 0]
    return End("positive", top, values[top]), End("negative", bottom, values[bottom])


def class_name(examples: Known, classes: tuple[str, ...], position: np.integer) -> str:
    """Return the name of an example's class; empty where classes are not known."""
    return "" if examples.labels is None else classes[examples.labels[position]]


def listed(end: End) -> str:
    """Return the positions of the examples at an end with their values: '17 (+0.52), 4 (+0.40)'."""
    both = zip(end.index, end.values, strict=True)
    return ", ".join(f"{position} ({number(float(value), 2, signed=True)})" for position, value in both)


def class_counts(end: End, examples: Known, classes: tuple[str, ...], most: int = 3) -> str:
    """Return the commonest classes at an end: '8 (10 of 12), 3 (2 of 12)'; empty where classes are not known."""
    if examples.labels is None:
        return ""
    counts = Counter(int(label) for label in examples.labels[end.index])
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{classes[label]} ({count} of {len(end.index)})" for label, count in ranked[:most]]
    rest = len(ranked) - most
    if rest > 0:
        named.append(f"{rest} other class{'es' if rest > 1 else ''}")
    return ", ".join(named) or "no example"


def flags(examples: Known) -> Mapping[str, Bool[np.ndarray, " examples"]]:
    """Return the metadata columns that are true or false for each example."""
    columns: Mapping[str, Shaped[np.ndarray, "examples ..."]] = examples.metadata
    return {name: column for name, column in columns.items() if column.dtype == np.bool_ and column.ndim == 1}


def shares(end: End, examples: Known) -> list[str]:
    """Return how often each flag holds at an end, against everywhere: 'planted: 12 of 12 (7.0 % of all)'."""
    return [
        f"{name.replace('_', ' ')}: {int(column[end.index].sum())} of {len(end.index)} "
        f"({percent(float(column.mean()))} of all)"
        for name, column in flags(examples).items()
        if len(end.index)
    ]
