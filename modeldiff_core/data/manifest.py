"""What a checked dataset holds, as one JSON record beside what was built from it."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.notes import printable
from modeldiff_core.data.progress import counted
from modeldiff_core.errors import DataError

MANIFEST = "manifest.json"
FORMAT = 1
CHUNK = 1 << 20


def sha256(path: Path) -> str:
    """Return a file's SHA-256, read a megabyte at a time; raises DataError if it cannot be read."""
    sha = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                sha.update(chunk)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return sha.hexdigest()


def checksums(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file by its path below the folder that holds them all."""
    paths = list(files)
    if not paths:
        return {}
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return {
        printable(path.relative_to(root).as_posix()): sha256(path) for path in counted(paths, len(paths), "checksums")
    }


def class_counts(examples: Examples, classes: tuple[str, ...]) -> dict[str, int]:
    """Examples of each class; raises DataError for two classes of one name."""
    if len(set(classes)) < len(classes):
        raise DataError(f"classes {', '.join(classes)}: two have one name")
    counts = np.bincount(examples.labels, minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, counts, strict=True)}


def manifest(dataset: Dataset, kind: str, settings: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """Return the record of a dataset; kind, settings: how it was asked for; files: what was read, see ``checksums``."""
    parts = {"train": dataset.train, "test": dataset.test}
    return {
        "format": FORMAT,
        "kind": kind,
        "settings": dict(settings),
        "fingerprint": dataset.fingerprint,
        "image_shape": list(dataset.image_shape),
        "classes": list(dataset.classes),
        "splits": {
            name: {
                "examples": len(part),
                "by_class": class_counts(part, dataset.classes),
                "metadata": {column: str(values.dtype) for column, values in part.metadata.items()},
            }
            for name, part in parts.items()
        },
        "inventory": dataset.inventory.plain(),
        "files": dict(files),
    }


def write_manifest(record: Mapping[str, Any], folder: Path) -> Path:
    """Write the record last and at once: where it is, everything that it names is complete."""
    path, draft = folder / MANIFEST, folder / f".{MANIFEST}.{os.getpid()}"
    text = json.dumps(record, indent=2, ensure_ascii=False)
    with draft.open("wb") as file:
        file.write(text.encode("utf-8", "backslashreplace") + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return draft.replace(path)
