"""Data frames as rows of a table: what columns hold, what is missing, and categories that training has not."""

import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.data.examples import Dataset, Examples, predicting
from modeldiff_core.data.kinds import Column, Table
from modeldiff_core.data.labels import natural
from modeldiff_core.data.notes import PARTS, Counter, Notes, Part
from modeldiff_core.errors import DataError

CATEGORIES = 100
"""Different texts of a column from which on they are taken for names of rows and refused."""
NUMBERS = 0.5
"""Share of a text column's values that are numbers, from which on the others are taken for mistakes."""
MISSING = "missing"
"""The category of a missing text, where missing values are filled."""
WORDS: dict[Part, str] = {"train": "training", "test": "test"}
"""Parts in words."""
FEW = 5
"""Columns or values that a message names."""

Frame = Any
"""A data frame of pandas, which a machine that only trains does not have: it is imported when frames are read."""


@dataclass(frozen=True)
class Reading:
    """What is done with rows that are not as they should be.

    predict: the target is a class, or a number. missing: missing values are refused, or filled with the median of the
    training rows (text: with a category of its own). unseen: test rows of a category or a class that training has not
    are refused, or left out. categorical: columns whose values are categories though they are numbers.
    """

    predict: Literal["class", "number"] = "class"
    missing: Literal["refuse", "fill"] = "refuse"
    unseen: Literal["refuse", "leave_out"] = "refuse"
    categorical: tuple[str, ...] = ()


def pandas() -> Any:
    """Return the library of data frames; raises DataError where it is not installed."""
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise DataError("tables are read with pandas, which is not installed here") from error


def is_frame(given: object) -> bool:
    """Return whether something is a data frame of pandas."""
    kind = type(given)
    return kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "DataFrame"


def read_frames(
    frames: Mapping[Part, Frame], targets: Mapping[Part, Any], name: str, reading: Reading, source: str = "data"
) -> Dataset:
    """Return the rows of a training and of a test frame as a data set.

    Numbers and truth values become numbers, text becomes categories in natural order.

    Args:
        frames: The columns that models see, by part.
        targets: What they predict, one value a row, by part.
        name: Of the target.
        reading: What is done with odd rows.
        source: The beginning of every message.

    Raises:
        DataError: For a column that is missing in a part, of mixed types, of missing values or unseen categories, with
            its name and how many rows are at fault.
    """
    counter = Counter()
    _check_columns(frames, reading.categorical, source)
    columns: list[Column] = []
    values: dict[Part, list[Float[np.ndarray, " rows"]]] = {part: [] for part in PARTS}
    kept: dict[Part, Bool[np.ndarray, " rows"]] = {part: np.ones(len(frames[part]), bool) for part in PARTS}
    touched: dict[Part, Bool[np.ndarray, " rows"]] = {part: np.zeros(len(frames[part]), bool) for part in PARTS}
    for word in map(str, frames["train"].columns):
        said = f"{source}: column {word!r}"
        given = {part: frames[part][word] for part in PARTS}
        text = word in reading.categorical or any(_is_text(given[part]) for part in PARTS)
        read = _categories if text else _numbers
        found = read(given, said, word, reading)
        columns.append(found.column)
        for part in PARTS:
            values[part].append(found.values[part])
            kept[part] &= ~found.unseen[part]
            touched[part] |= found.filled[part]
    labels, classes = _targets(targets, kept, name, reading, source)
    for part in PARTS:
        if (filled := touched[part] & kept[part]).any():
            words = "with missing values, filled (missing=fill)"
            counter.add(words, part, count=int(filled.sum()))
    changed = counter.tallies()
    counter = Counter()
    if not kept["test"].all():
        words = "of categories or classes without training rows (unseen=leave_out)"
        counter.add(words, "test", count=int((~kept["test"]).sum()))
    table = Table(tuple(columns))
    parts = {
        part: Examples(
            np.stack(values[part], axis=1).astype(np.float64)[kept[part], None, :, None],
            labels[part][kept[part]],
            kind=table,
        )
        for part in PARTS
    }
    notes = Notes(changed, counter.tallies(), remarks=_still(columns, values["train"]))
    data = Dataset(parts["train"], parts["test"], classes, notes)
    return predicting(data, name) if reading.predict == "number" else data


@dataclass(frozen=True)
class _Read:
    """A column, its values by part, which test rows have an unseen category, and which rows had a missing value."""

    column: Column
    values: dict[Part, Float[np.ndarray, " rows"]]
    unseen: dict[Part, Bool[np.ndarray, " rows"]]
    filled: dict[Part, Bool[np.ndarray, " rows"]]


def _check_columns(frames: Mapping[Part, Frame], categorical: Collection[str], source: str) -> None:
    train, test = (list(map(str, frames[part].columns)) for part in PARTS)
    for part, names in zip(PARTS, (train, test), strict=True):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{source}: two columns of the {part} rows have one name: {_named(twice)}")
    if not train:
        raise DataError(f"{source}: there are no columns beside the target")
    missing, extra = sorted(set(train) - set(test)), sorted(set(test) - set(train))
    if missing or extra:
        said = [f"the test rows lack {_named(missing)}"] if missing else []
        said += [f"only the test rows have {_named(extra)}"] if extra else []
        raise DataError(f"{source}: {' and '.join(said)}: give both parts the same columns")
    if "class" in train:
        raise DataError(f"{source}: column 'class': the report has a class of its own; name the column in another way")
    unknown = sorted(set(categorical) - set(train))
    if unknown:
        raise DataError(f"{source}: categorical: no column is called {_named(unknown)}; there are {_named(train)}")


def _is_text(column: Any) -> bool:
    return str(column.dtype) in ("object", "string", "str", "category")


def _numbers(given: Mapping[Part, Any], said: str, word: str, reading: Reading) -> _Read:
    """Return a column of numbers or truth values."""
    values, filled = {}, {}
    for part in PARTS:
        column = given[part]
        if column.dtype.kind not in "biuf" and not hasattr(column.dtype, "numpy_dtype"):
            raise DataError(f"{said}: values of type {column.dtype}; numbers, truth values and text are taken")
        array = column.to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(array).any():
            raise DataError(f"{said}: {int(np.isinf(array).sum()):,} {WORDS[part]} values are infinite")
        values[part], filled[part] = array, np.isnan(array)
    _check_missing(filled, said, reading)
    middle = float(np.nanmedian(values["train"])) if not filled["train"].all() else 0.0
    values = {part: np.where(filled[part], middle, values[part]) for part in PARTS}
    return _Read(Column(word), values, {part: np.zeros(len(values[part]), bool) for part in PARTS}, filled)


def _categories(given: Mapping[Part, Any], said: str, word: str, reading: Reading) -> _Read:
    """Return a column of text as positions among the categories of the training rows."""
    asked = word in reading.categorical
    filled = {part: given[part].isna().to_numpy(dtype=bool) for part in PARTS}
    texts: dict[Part, np.ndarray] = {}
    for part in PARTS:
        values = given[part].to_numpy(dtype=object)
        if not asked:
            _check_mixed(values[~filled[part]], f"{said}: {part}")
        texts[part] = np.array(["" if gone else str(one) for one, gone in zip(values, filled[part], strict=True)])
    _check_missing(filled, said, reading)
    words = {part: np.where(filled[part], MISSING, texts[part]) for part in PARTS}
    categories = sorted(set(words["train"].tolist()), key=natural)
    if len(categories) > CATEGORIES:
        raise DataError(
            f"{said}: {len(categories):,} different texts in {len(words['train']):,} rows (more than {CATEGORIES}): "
            "names of rows? Leave the column out, or make it a number"
        )
    place = {one: at for at, one in enumerate(categories)}
    unseen = {part: np.array([one not in place for one in words[part].tolist()], bool) for part in PARTS}
    if unseen["test"].any() and reading.unseen == "refuse":
        strange = sorted(set(words["test"][unseen["test"]].tolist()))
        raise DataError(
            f"{said}: {int(unseen['test'].sum()):,} of {len(words['test']):,} test rows have a category that no "
            f"training row has: {_named(strange)}. unseen=leave_out leaves these rows out"
        )
    values = {part: np.array([place.get(one, 0) for one in words[part].tolist()], np.float64) for part in PARTS}
    return _Read(Column(word, tuple(categories)), values, unseen, filled)


def _check_mixed(values: np.ndarray, said: str) -> None:
    """Raise DataError for values of which some are numbers and some are text, with the first of the fewer."""
    number = np.array([_is_number(one) for one in values.tolist()], bool)
    typed = {type(one) for one in values.tolist()}
    if not len(values) or not number.any() or (typed == {str} and number.mean() < NUMBERS):
        return
    if number.all() and typed == {str}:
        raise DataError(
            f"{said}: numbers that are written as text: turn them into numbers, or name the column in categorical"
        )
    at = int(np.argmin(number)) if number.mean() >= NUMBERS else int(np.argmax(number))
    raise DataError(
        f"{said}: mixed types: {int(number.sum()):,} numbers and {int((~number).sum()):,} other values, the first "
        f"{values[at]!r}: give the column one type, or name it in categorical"
    )


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _check_missing(filled: Mapping[Part, Bool[np.ndarray, " rows"]], said: str, reading: Reading) -> None:
    counts = {part: int(filled[part].sum()) for part in PARTS}
    if any(counts.values()) and reading.missing == "refuse":
        raise DataError(
            f"{said}: {counts['train']:,} training and {counts['test']:,} test values are missing: take these rows "
            "out, or missing=fill puts the median of the training rows there (text: a category of its own)"
        )


def _targets(
    given: Mapping[Part, Any],
    kept: dict[Part, Bool[np.ndarray, " rows"]],
    name: str,
    reading: Reading,
    source: str,
) -> tuple[dict[Part, np.ndarray], tuple[str, ...]]:
    """Return labels by part and the names of the classes; takes test rows of unseen classes out of `kept`."""
    lib = pandas()
    columns = {part: lib.Series(np.asarray(given[part])) for part in PARTS}
    said = f"{source}: target {name!r}"
    for part in PARTS:
        if len(columns[part]) != len(kept[part]):
            raise DataError(f"{said}: {len(columns[part]):,} values for {len(kept[part]):,} {part} rows")
        gone = int(columns[part].isna().sum())
        if gone:
            raise DataError(f"{said}: {gone:,} {WORDS[part]} values are missing: take these rows out")
    if reading.predict == "number":
        for part in PARTS:
            if columns[part].dtype.kind not in "biuf":
                raise DataError(f"{said}: values of type {columns[part].dtype}; predict=number takes numbers")
        return {part: columns[part].to_numpy(dtype=np.float64) for part in PARTS}, ()
    for part in PARTS:
        array = columns[part].to_numpy()
        if array.dtype.kind == "f" and not (array == np.round(array)).all():
            raise DataError(
                f"{said}: values such as {array[array != np.round(array)][0]:g} are no classes; "
                "predict=number predicts them"
            )
    words = {
        part: np.array([str(int(v)) if isinstance(v, float) else str(v) for v in columns[part].tolist()])
        for part in PARTS
    }
    classes = sorted(set(words["train"].tolist()), key=natural)
    if len(classes) > CATEGORIES:
        raise DataError(f"{said}: {len(classes):,} different values are too many classes; predict=number predicts them")
    strange = ~np.isin(words["test"], classes)
    if strange.any() and reading.unseen == "refuse":
        raise DataError(
            f"{said}: {int(strange.sum()):,} test rows are of classes without training rows "
            f"({_named(sorted(set(words['test'][strange].tolist())))}). unseen=leave_out leaves these rows out"
        )
    kept["test"] &= ~strange
    place = {one: at for at, one in enumerate(classes)}
    return {part: np.array([place.get(w, 0) for w in words[part].tolist()], np.int64) for part in PARTS}, tuple(classes)


def _still(columns: list[Column], values: list[Float[np.ndarray, " rows"]]) -> tuple[str, ...]:
    """Return a warning about columns that are the same in all training rows."""
    still = [c.name for c, own in zip(columns, values, strict=True) if len(own) and (own == own[0]).all()]
    if not still:
        return ()
    return (f"{_named(still)}: the same value in all training rows, so nothing can be learned from it",)


def _named(names: Collection[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - FEW} more" if len(shown) > FEW else ""
    return ", ".join(map(repr, shown[:FEW])) + more


def as_frame(table: Table, inputs: np.ndarray) -> Frame:
    """Return rows as a data frame: numbers as they are, categories as text of the type ``category``."""
    lib = pandas()
    columns = {}
    for at, column in enumerate(table.columns):
        values = inputs[:, 0, at, 0]
        if column.categories:
            columns[column.name] = lib.Categorical.from_codes(values.astype(np.int64), list(column.categories))
        else:
            columns[column.name] = values
    return lib.DataFrame(columns)


def with_column(data: Dataset, name: str, train: np.ndarray, test: np.ndarray) -> Dataset:
    """Return a table with one more column of numbers, the last; raises DataError for a name that is taken."""
    table = data.kind
    assert isinstance(table, Table)
    if name in table.names:
        raise DataError(f"column {name!r}: the table has a column of that name")
    kind = Table((*table.columns, Column(name)))
    parts = [
        replace(part, images=np.concatenate([part.images, values[:, None, None, None]], axis=2), kind=kind)
        for part, values in ((data.train, train), (data.test, test))
    ]
    return replace(data, train=parts[0], test=parts[1])
