"""What is known of the examples behind adopted results: a dataset's, or those of the files that were given."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from modeldiff_core.data import Given, Known, nothing_known
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.training import check_sizes
from modeldiff_core.store import StoreSettings
from modeldiff_core.store.files import only_array, opened
from modeldiff_core.store.tables import read_table
from modeldiff_core.study import load_dataset, target_examples
from modeldiff_core.study.adopted import AdoptedStudy, ExamplesConfig
from modeldiff_core.subpopulations.enrichment import CLASS

LABEL = "label"
"""The column of a table that holds the classes."""


@dataclass(frozen=True)
class AxisExamples:
    """The examples behind the rows and columns of datamodels, by axis. fingerprint: of every value that is known.

    An empty fingerprint: nothing is known.
    """

    targets: Known
    train: Known
    classes: tuple[str, ...]
    fingerprint: str


def read_examples(study: AdoptedStudy, n_targets: int, n_train: int, settings: StoreSettings) -> AxisExamples:
    """Return the examples as far as they are known. settings: of the store whose server s3:// URLs are reached at.

    Raises ConfigError for a dataset beside files, for files that cannot be read or have another number of rows, labels
    that are no classes, and images of another type or shape.
    """
    parts = {"targets": (study.targets, n_targets), "train": (study.train, n_train)}
    if study.dataset is not None:
        beside = study.model_dump(include={*parts, "classes"}, exclude_defaults=True)
        if beside:
            raise ConfigError("dataset", f"null where {' and '.join(beside)} are given", study.dataset.kind)
        data = load_dataset(study.dataset)
        check_sizes(data, n_train, n_targets, "dataset", "dataset")
        return AxisExamples(target_examples(data, n_targets), data.train, data.classes, data.fingerprint)
    given = {key: _given(asked, count, key, settings) for key, (asked, count) in parts.items()}
    classes = study.classes or _classes([part.metadata.get(LABEL) for part in given.values()])
    targets, train = (_labeled(part, classes, f"{key}.table") for key, part in given.items())
    return AxisExamples(targets, train, classes, _fingerprint((targets, train), classes))


def _given(asked: ExamplesConfig, count: int, key: str, settings: StoreSettings) -> Given:
    """Columns and images of one axis, the labels still among the columns."""
    columns, images = {}, None
    if asked.table is not None:
        columns = read_table(asked.table, count, f"{key}.table", settings)
        if CLASS in columns:
            raise ConfigError(f"{key}.table", f"classes in the column {LABEL}", f"a column {CLASS}")
    if asked.images is not None:
        images = _images(asked.images, count, f"{key}.images", settings)
    return Given(count, None, columns, images)


def _images(
    source: str, count: int, key: str, settings: StoreSettings
) -> UInt8[np.ndarray, "examples height width channels"]:
    with opened(source, key, settings) as arrays:
        images = only_array(arrays, ("images",), key).whole()
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or len(images) != count:
        expected = f"uint8 images [{count}, height, width, channels] with 1 or 3 channels"
        raise ConfigError(key, expected, f"{source}: {images.dtype} {list(images.shape)}")
    return images


def _classes(columns: list[Shaped[np.ndarray, " _examples"] | None]) -> tuple[str, ...]:
    """Names of the classes where none were given: their names in the tables, or their numbers."""
    known = [column for column in columns if column is not None]
    if not known:
        return ()
    kinds = {column.dtype.kind for column in known}
    if kinds == {"i"}:
        return tuple(str(index) for index in range(max(int(column.max(initial=-1)) for column in known) + 1))
    if "i" in kinds:
        raise ConfigError("classes", "names of the classes", [], "One table has their indices, the other one names")
    return tuple(sorted({str(name) for column in known for name in column.tolist()}))


def _labeled(part: Given, classes: tuple[str, ...], key: str) -> Given:
    """Return the examples with their labels as indices of the classes."""
    columns = dict(part.metadata)
    column = columns.pop(LABEL, None)
    if column is None:
        return part
    return replace(part, labels=_indices(column, classes, key), metadata=columns)


def _indices(
    column: Shaped[np.ndarray, " examples"], classes: tuple[str, ...], key: str
) -> Int[np.ndarray, " examples"]:
    if column.dtype.kind == "U":
        indices = np.array([classes.index(name) if name in classes else -1 for name in column.tolist()], np.int64)
    elif column.dtype.kind == "i":
        indices = column.astype(np.int64)
    else:
        raise ConfigError(key, f"indices or names of classes in the column {LABEL}", f"{column.dtype} values")
    wrong = (indices < 0) | (indices >= len(classes))
    if wrong.any():
        at = int(np.argmax(wrong))
        expected = f"labels among the {len(classes)} classes, as names or as 0 to {len(classes) - 1}"
        raise ConfigError(key, expected, f"row {at}: {column[at]}")
    return indices


def _fingerprint(parts: tuple[Given, Given], classes: tuple[str, ...]) -> str:
    if all(map(nothing_known, parts)):
        return ""
    sha = hashlib.sha256("\x1f".join(classes).encode())
    for part in parts:
        columns = {f"metadata.{name}": column for name, column in part.metadata.items()}
        arrays = {"labels": part.labels, "images": part.images, **columns}
        for name, array in sorted(arrays.items()):
            if array is not None:
                sha.update(f"{name}{array.dtype.str}{array.shape}".encode())
                sha.update(np.ascontiguousarray(array).tobytes())
        sha.update(b"\x1e")
    return sha.hexdigest()
