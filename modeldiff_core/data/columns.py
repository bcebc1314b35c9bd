"""Metadata columns: what they may be named and hold, checked before anything is trained."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped

from modeldiff_core.errors import DataError

PLANTED = "planted"
"""The column of plants: true where an example carries the feature already."""
CLASS = "class"
"""The column that the class itself is in tables."""
OF_TABLES = ("examples", "end", "rank", "example", "value")
"""Columns of the report's tables, which no flag may have as its name."""
SPLIT = ("_train", "_test")

Columns = Mapping[str, np.ndarray]


def columns_of(
    arrays: Mapping[str, np.ndarray], part: str, count: int, shape: tuple[int, int], source: str
) -> dict[str, np.ndarray]:
    """Return the columns NAME_train or NAME_test of an archive; shape: height and width of its images.

    Raises DataError for a column that has no name, is not there in both parts, or has not one value or mask an image.
    """
    names = {name.rpartition("_")[0] for name in arrays if name.endswith(SPLIT)} - {"x", "y"}
    columns = {}
    for name in sorted(names):
        if not name:
            raise DataError(f"{source}: an array named {f'_{part}'!r}: metadata is named NAME_train and NAME_test")
        column = arrays.get(f"{name}_{part}")
        if column is None or column.shape[:1] != (count,) or column.ndim not in (1, 3):
            found = "missing" if column is None else f"of shape {column.shape}"
            raise DataError(
                f"{source}: metadata {name}_{part} is {found}, expected one value or mask for {count} images"
            )
        if column.ndim == 3 and column.shape[1:] != shape:
            raise DataError(
                f"{source}: metadata {name}_{part} has masks of {column.shape[1:]}, the images are {shape} pixels"
            )
        columns[name] = column
    return columns


def check_columns(train: Columns, test: Columns) -> None:
    """Raise DataError, naming the column and why, for metadata that what follows cannot take."""
    for name in sorted({*train, *test}):
        said = f"metadata {name!r}"
        if name not in train or name not in test:
            raise DataError(f"{said}: in the {'training' if name in train else 'test'} set alone; give both or none")
        kinds = []
        for column in (train[name], test[name]):
            kind = _kind(column.dtype)
            if not kind:
                raise DataError(
                    f"{said}: values of type {column.dtype}; real numbers, booleans, text and dates are taken"
                )
            kinds.append(kind)
        if kinds[0] != kinds[1]:
            raise DataError(
                f"{said}: {kinds[0]} ({train[name].dtype}) in the training set, {kinds[1]} ({test[name].dtype}) in the "
                "test set; give both one type"
            )
        _check_name(name, train[name], said)


def _check_name(name: str, column: Shaped[np.ndarray, "examples ..."], said: str) -> None:
    if not name:
        raise DataError(f"{said}: a column without a name")
    if name == CLASS:
        raise DataError(f"{said}: the name of the class's own column; name it in another way")
    if name == PLANTED and column.dtype != np.bool_:
        raise DataError(
            f"{said}: true where an example carries a planted feature, so of type bool, got {column.dtype}; make it "
            "so, or name it in another way"
        )
    if name in OF_TABLES and column.dtype == np.bool_:
        raise DataError(f"{said}: a column of the report's tables; name the flag in another way")


def _kind(dtype: np.dtype) -> str:
    """Return what values of a type are, in words; empty for types that no column may have."""
    return {
        "b": "booleans",
        "i": "numbers",
        "u": "numbers",
        "f": "numbers",
        "U": "text",
        "S": "text",
        "M": "dates",
    }.get(dtype.kind, "")
