"""Kinds of examples: images, rows of a table, sequences of tokens; what they are called and what is read off them.

Every kind has the same axes, [examples, height, width, channels], so that one plan, one store and one contract
of algorithms serve all of them. A row of a table is [1, columns, 1] in float64, a sequence [1, length, 1] in int64.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Shaped

from modeldiff_core.errors import DataError

Inputs = Shaped[np.ndarray, "examples height width channels"]
Input = Shaped[np.ndarray, "height width channels"]
Features = Mapping[str, Float[np.ndarray, " examples"]]
"""Numbers of each example by name."""

COMMON = 0.01
"""Least share of texts that hold a token, for the token to be looked at where ends of directions are described."""


@runtime_checkable
class Kind(Protocol):
    """What examples are."""

    @property
    def name(self) -> str:
        """How settings and errors name the kind: images, table or tokens."""
        ...

    @property
    def noun(self) -> str:
        """What one example is called; an s makes it several."""
        ...

    def check(self, inputs: Inputs) -> None:
        """Raise DataError for values that no example of the kind has."""
        ...

    def features(self, inputs: Inputs) -> Features:
        """Return named numbers of each example; none of images, whose statistics have a module of their own."""
        ...

    def categories(self, inputs: Inputs) -> Mapping[str, Shaped[np.ndarray, " examples"]]:
        """Return what each example is by name where that is text, such as a column of categories."""
        ...

    def text(self, one: Input) -> str:
        """Return an example as people read it; empty for images, which are shown."""
        ...

    def pair(self, before: Input, after: Input) -> tuple[str, str]:
        """Return an example without and with a change as people read them, without what is the same for nothing."""
        ...


@dataclass(frozen=True)
class Pictures:
    """Images in 0..255, which every algorithm takes."""

    name: ClassVar[str] = "images"
    noun: ClassVar[str] = "image"

    def check(self, inputs: Inputs) -> None:
        """Raise DataError for what is not of bytes."""
        if inputs.dtype != np.uint8:
            raise DataError(f"images have to be uint8 in 0..255, got {inputs.dtype}")

    def features(self, inputs: Inputs) -> Features:
        return {}

    def categories(self, inputs: Inputs) -> Mapping[str, Shaped[np.ndarray, " examples"]]:
        return {}

    def text(self, one: Input) -> str:
        return ""

    def pair(self, before: Input, after: Input) -> tuple[str, str]:
        return "", ""


PICTURES = Pictures()


@dataclass(frozen=True)
class Column:
    """A column of a table. categories: its values where it holds text; a row has their position. Empty of numbers."""

    name: str
    categories: tuple[str, ...] = ()

    def shown(self, value: float) -> str:
        """Return a value as it was in the table."""
        return self.categories[int(value)] if self.categories else f"{value:.4g}"


@dataclass(frozen=True)
class Table:
    """Rows of a table: numbers, and positions of categories, in float64 [examples, 1, columns, 1]."""

    columns: tuple[Column, ...]
    name: ClassVar[str] = "table"
    noun: ClassVar[str] = "row"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def check(self, inputs: Inputs) -> None:
        """Raise DataError for another number of columns, and for values that are missing or no category."""
        if inputs.dtype != np.float64 or inputs.shape[1:] != (1, len(self.columns), 1):
            raise DataError(f"a table of {len(self.columns)} columns, got {inputs.dtype} of {list(inputs.shape)}")
        rows = inputs[:, 0, :, 0]
        for at, column in enumerate(self.columns):
            values = rows[:, at]
            if not np.isfinite(values).all():
                raise DataError(f"column {column.name!r}: {int((~np.isfinite(values)).sum()):,} values are missing")
            if column.categories and not np.isin(values, np.arange(len(column.categories))).all():
                raise DataError(f"column {column.name!r}: values that are none of its categories")

    def features(self, inputs: Inputs) -> Features:
        """Return the columns of numbers."""
        return {c.name: inputs[:, 0, at, 0] for at, c in enumerate(self.columns) if not c.categories}

    def categories(self, inputs: Inputs) -> Mapping[str, Shaped[np.ndarray, " examples"]]:
        """Return the columns of text."""
        return {
            c.name: np.array(c.categories)[inputs[:, 0, at, 0].astype(np.int64)]
            for at, c in enumerate(self.columns)
            if c.categories
        }

    def text(self, one: Input) -> str:
        """Return a row as ``column = value``, a comma between them."""
        return self._said(one, range(len(self.columns)))

    def pair(self, before: Input, after: Input) -> tuple[str, str]:
        """Return the columns that change."""
        changed = np.flatnonzero(before[0, :, 0] != after[0, :, 0]).tolist()
        return self._said(before, changed), self._said(after, changed)

    def _said(self, one: Input, places: Iterable[int]) -> str:
        return ", ".join(f"{self.columns[at].name} = {self.columns[at].shown(float(one[0, at, 0]))}" for at in places)


PADDING, UNKNOWN, MASK = "<pad>", "<unknown>", "<mask>"
RESERVED = (PADDING, UNKNOWN, MASK)
"""Words that every vocabulary begins with: what fills a sequence up, what no vocabulary knows, what stands for any."""


@dataclass(frozen=True)
class Tokens:
    """Sequences of ids of one length, in int64 [examples, 1, length, 1]; the vocabulary begins with RESERVED."""

    vocabulary: tuple[str, ...]
    name: ClassVar[str] = "tokens"
    noun: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        if self.vocabulary[: len(RESERVED)] != RESERVED:
            raise DataError(f"a vocabulary begins with {', '.join(RESERVED)}")

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """The id of each word."""
        return {word: at for at, word in enumerate(self.vocabulary)}

    def check(self, inputs: Inputs) -> None:
        """Raise DataError for ids beyond the vocabulary and for sequences that hold nothing."""
        if inputs.dtype != np.int64 or inputs.ndim != 4 or inputs.shape[1] != 1 or inputs.shape[3] != 1:
            raise DataError(f"sequences of ids in int64, got {inputs.dtype} of {list(inputs.shape)}")
        ids, most = inputs[:, 0, :, 0], len(self.vocabulary) - 1
        beyond = (ids < 0) | (ids > most)
        if beyond.any():
            at = int(np.argmax(beyond.any(axis=1)))
            raise DataError(
                f"{int(beyond.any(axis=1).sum()):,} of {len(ids):,} sequences hold ids beyond the vocabulary, 0..{most}"
                f": {int(ids[at][beyond[at]][0])} in sequence {at}"
            )
        empty = (ids == 0).all(axis=1)
        if empty.any():
            raise DataError(
                f"{int(empty.sum()):,} of {len(ids):,} sequences are empty, the first {int(empty.argmax())}"
            )

    def features(self, inputs: Inputs) -> Features:
        """Return 1 for each text that holds a token, of tokens that COMMON of the texts hold, and their lengths."""
        ids = inputs[:, 0, :, 0]
        held = np.zeros((len(ids), len(self.vocabulary)), bool)
        held[np.arange(len(ids))[:, None], ids] = True
        counts = held.sum(axis=0)
        least = max(2.0, COMMON * len(ids))
        kept = [at for at in range(1, len(counts)) if least <= counts[at] <= len(ids) - least]
        found = {self.vocabulary[at]: held[:, at].astype(np.float64) for at in kept}
        return {**found, LENGTH: (ids != 0).sum(axis=1).astype(np.float64)}

    def categories(self, inputs: Inputs) -> Mapping[str, Shaped[np.ndarray, " examples"]]:
        return {}

    def text(self, one: Input) -> str:
        """Return the words of a sequence without what fills it up."""
        return " ".join(self.vocabulary[at] for at in one[0, :, 0].tolist() if at)

    def pair(self, before: Input, after: Input) -> tuple[str, str]:
        """Return both texts."""
        return self.text(before), self.text(after)


LENGTH = "number of tokens"
"""The feature that says how long a text is; no token has a name with blanks."""


def kind_record(kind: Kind) -> dict[str, Any]:
    """Return a kind as plain values, by ``name``; images have nothing else."""
    return {"name": kind.name, **asdict(kind)}  # type: ignore[call-overload]


def restored_kind(record: Mapping[str, Any]) -> Kind:
    """Return the kind of plain values; raises DataError for an unknown name."""
    if record["name"] == Table.name:
        return Table(tuple(Column(one["name"], tuple(one["categories"])) for one in record["columns"]))
    if record["name"] == Tokens.name:
        return Tokens(tuple(record["vocabulary"]))
    if record["name"] == Pictures.name:
        return PICTURES
    raise DataError(f"a kind of examples named {record['name']!r}; there are images, table and tokens")
