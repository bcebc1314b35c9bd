"""Inspection of a store: every object of a folder, leftover probes, and a whole matrix in bounded memory."""

import numpy as np

from modeldiff_core.errors import DamagedObject, StoreError
from modeldiff_core.store.chunks import metadata
from modeldiff_core.store.matrices import MarginMatrix
from modeldiff_core.store.objects import PROBE_PREFIX, ObjectStore


def every_object(store: ObjectStore, prefix: str) -> set[str]:
    """Return the keys of all objects under a prefix, including half-written ones, which ``sizes`` leaves out."""
    try:
        entries = store.fs.find(store.path(prefix), detail=True)
    except FileNotFoundError:
        return set()
    except Exception as error:
        raise StoreError(f"{store.url(prefix)} could not be listed: {type(error).__name__}: {error}") from error
    skip = len(store.path(""))
    return {path[skip:] for path, info in entries.items() if info["type"] == "file"}


def left_probes(store: ObjectStore) -> set[str]:
    """Return the keys of objects that killed probes left at the root, which is listed without its folders."""
    try:
        paths = store.fs.ls(store.path(""), detail=False)
    except FileNotFoundError:
        return set()
    except Exception as error:
        raise StoreError(f"{store.settings.url} could not be listed: {type(error).__name__}: {error}") from error
    names = {str(path).rstrip("/").rsplit("/", 1)[-1] for path in paths}
    return {name for name in names if name.startswith(PROBE_PREFIX)}


def check_matrix(matrix: MarginMatrix) -> None:
    """Read every object of a matrix once against the checksums of its record.

    Memory: one block of margins, 4·models·COLUMNS bytes, or one of masks, ROWS·train/8 bytes.

    Raises:
        DamagedObject: For the first object that differs or is missing, and for a block with a value that is not finite.
    """
    record, (margins, masks) = matrix.record, matrix.grids
    address, keys = f"{matrix.store.url(matrix.key)}.json", (f"{matrix.key}.json",)
    chunks = {g.object(i, j) for g in (margins, masks) for i in range(g.counts[0]) for j in range(g.counts[1])}
    described = record["crc32c"].keys() - chunks
    if not chunks <= record["crc32c"].keys() or len(described) != len(metadata((margins, masks))):
        raise DamagedObject(
            f"{address}: {len(record['crc32c'])} checksums do not match {len(chunks)} chunks", keys=keys
        )
    matrix.valid()
    for name in described:
        matrix.object(name)
    for column in range(margins.counts[1]):
        targets = margins.columns(column)
        if not np.isfinite(matrix.margins(targets.start, targets.stop)).all():
            raise DamagedObject(f"{address}: margins of targets from {targets.start} on are not all finite", keys=keys)
    for _ in matrix.packed_masks():
        pass
