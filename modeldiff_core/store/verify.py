"""Looking at what is stored without using it: every object of a folder, and a whole matrix in bounded memory."""

import hashlib

import numpy as np

from modeldiff_core.errors import DamagedObject, StoreError
from modeldiff_core.store import matrices
from modeldiff_core.store.matrices import MarginMatrix
from modeldiff_core.store.objects import ObjectStore


def every_object(store: ObjectStore, prefix: str) -> set[str]:
    """Keys of all objects under a prefix by one listing, half-written ones (which ``sizes`` leaves out) among them."""
    try:
        found = store.fs.find(store.path(prefix), detail=True)
    except FileNotFoundError:
        return set()
    except Exception as error:
        raise StoreError(f"{store.url(prefix)} could not be listed: {type(error).__name__}: {error}") from error
    skip = len(store.path(""))
    return {path[skip:] for path, info in found.items() if info["type"] == "file"}


def check_matrix(matrix: MarginMatrix) -> None:
    """Read a matrix once, block by block, against the checksums of its record.

    Memory: one block of margins, 4·models·COLUMNS bytes, or one of masks, ROWS·train/8 bytes. Raises DamagedObject
    for the first block that differs, that holds a value that is not finite, or that is not there as the record says.
    """
    record = matrix.record
    models, n_train, n_targets = record["models"], record["n_train"], record["n_targets"]
    address = f"{matrix.store.url(matrix.key)}.json"
    if len(record["margins_sha256"]) != -(-n_targets // matrices.COLUMNS):
        raise DamagedObject(f"{address}: {len(record['margins_sha256'])} checksums for {n_targets} targets")
    if any(not 0 <= row < models for row in record["diverged"]):
        raise DamagedObject(f"{address}: names diverged models beyond the {models} that there are")
    for start in range(0, n_targets, matrices.COLUMNS):
        block = matrix.margins(start, min(start + matrices.COLUMNS, n_targets))
        if not np.isfinite(block).all():
            raise DamagedObject(f"{address}: margins of targets from {start} on are not all finite")
    if _masks_sha256(matrix, models, n_train) != record["masks_sha256"]:
        raise DamagedObject(f"{matrix.store.url(matrix.group)}: masks do not match their checksum")


def _masks_sha256(matrix: MarginMatrix, models: int, n_train: int) -> str:
    sha = hashlib.sha256()
    address = matrix.store.url(matrix.group)
    try:
        packed = matrices.open_group(matrix.store, matrix.group)["masks"]
        if packed.shape != (models, -(-n_train // 8)):
            raise DamagedObject(f"{address}: masks of shape {packed.shape} for {models} models of {n_train} examples")
        for start in range(0, models, matrices.ROWS):
            sha.update(np.ascontiguousarray(packed[start : start + matrices.ROWS]).tobytes())
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedObject(f"{address}: masks cannot be read ({type(error).__name__}: {error})") from error
    return sha.hexdigest()
