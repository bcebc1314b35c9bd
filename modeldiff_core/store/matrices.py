"""Consolidated matrices: all shards of a training as one zarr group, read by columns.

A matrix is valid when its record exists. The record holds a SHA-256 for each block of columns, so that whoever
reads a block can check it without reading the rest.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import zarr
from fsspec.implementations.local import LocalFileSystem
from jaxtyping import Bool, Float, Shaped, UInt8
from zarr.storage import FsspecStore, LocalStore

from modeldiff_core.errors import DamagedObject
from modeldiff_core.store.objects import ObjectStore
from modeldiff_core.store.records import read_record, write_record
from modeldiff_core.store.shards import Shard

ROWS, COLUMNS = 8192, 100
"""Chunk of the margins: models × targets (3.3 MB of float32)."""


def _group(store: ObjectStore, key: str, mode: str) -> Any:
    if isinstance(store.fs, LocalFileSystem):
        place: LocalStore | FsspecStore = LocalStore(store.path(key), read_only=mode == "r")
    else:
        options = {**store.settings.options(), "asynchronous": True} if store.fs.async_impl else {}
        place = FsspecStore.from_url(store.url(key), storage_options=options, read_only=mode == "r")
    return zarr.open_group(place, mode=mode)  # type: ignore[arg-type]


def write_matrix(
    store: ObjectStore,
    key: str,
    shards: Iterable[Shard],
    models: int,
    n_train: int,
    n_targets: int,
    identity: Mapping[str, object],
) -> dict[str, Any]:
    """Stream shards, in order, into ``<key>.zarr`` and write the record ``<key>.json`` last.

    Memory: two rows of chunks, each of ROWS × (4·targets + train/8) bytes, and a shard. Rows beyond `models` are left
    out. Raises DamagedObject, and leaves no record, if the shards hold fewer models.
    """
    store.delete(f"{key}.json")
    group = _group(store, f"{key}.zarr", "w")
    packed_width = -(-n_train // 8)
    rows = min(ROWS, models)
    margins = group.create_array(
        "margins", shape=(models, n_targets), dtype="float32", chunks=(rows, min(COLUMNS, n_targets)), compressors=None
    )
    masks = group.create_array(
        "masks", shape=(models, packed_width), dtype="uint8", chunks=(rows, packed_width), compressors=None
    )
    margin_sums = [hashlib.sha256() for _ in range(0, n_targets, COLUMNS)]
    mask_sum = hashlib.sha256()
    diverged: list[int] = []
    at = 0
    for part in _row_groups(shards, rows, models):
        here = slice(at, at + len(part.margins))
        margins[here], masks[here] = part.margins, part.masks
        for j, block in enumerate(margin_sums):
            block.update(part.margins[:, j * COLUMNS : (j + 1) * COLUMNS].tobytes())
        mask_sum.update(part.masks.tobytes())
        diverged += (at + np.flatnonzero(part.diverged)).tolist()
        at = here.stop
    if at < models:
        raise DamagedObject(f"{store.url(key)}: {at} models in the shards, {models} expected")
    record = {
        "identity": identity,
        "models": models,
        "n_train": n_train,
        "n_targets": n_targets,
        "diverged": diverged,
        "margins_sha256": [block.hexdigest() for block in margin_sums],
        "masks_sha256": mask_sum.hexdigest(),
    }
    write_record(store, f"{key}.json", record)
    return record


class _Rows(NamedTuple):
    """Some models of a matrix as they are stored."""

    margins: Float[np.ndarray, "models targets"]
    masks: UInt8[np.ndarray, "models bytes"]
    diverged: Bool[np.ndarray, " models"]


def _row_groups(shards: Iterable[Shard], rows: int, models: int) -> Iterator[_Rows]:
    """The first `models` models of a stream of shards, regrouped: `rows` in each group, what is left in the last."""
    group: list[_Rows] = []
    at = 0
    for shard in shards:
        start = 0
        while start < len(shard.margins) and at < models:
            end = min(at - at % rows + rows, models)
            part = slice(start, min(start + end - at, len(shard.margins)))
            group.append(_Rows(shard.margins[part], np.packbits(shard.masks[part], axis=1), shard.diverged[part]))
            at, start = at + part.stop - start, part.stop
            if at == end:
                yield _joined(group)
                group = []
    if group:
        yield _joined(group)


def _joined(group: list[_Rows]) -> _Rows:
    return _Rows(*(np.concatenate(parts) for parts in zip(*group, strict=True)))


@dataclass(frozen=True)
class MarginMatrix:
    """A consolidated matrix that was found complete."""

    store: ObjectStore
    key: str
    record: Mapping[str, Any]

    @classmethod
    def open(cls, store: ObjectStore, key: str) -> "MarginMatrix":
        """The matrix of that key; raises FileNotFoundError if its record is not there."""
        return cls(store, key, read_record(store, f"{key}.json"))

    def valid(self) -> Bool[np.ndarray, " models"]:
        """Which models ended with finite margins."""
        keep = np.ones(self.record["models"], dtype=bool)
        keep[self.record["diverged"]] = False
        return keep

    def masks(self) -> Bool[np.ndarray, "models train"]:
        """All masks, checked against the record."""
        packed = self._read("masks", slice(None))
        self._check(packed, self.record["masks_sha256"], "masks")
        return np.unpackbits(packed, axis=1, count=self.record["n_train"]).astype(bool)

    def margins(self, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "models targets"]:
        """Margins of targets start..stop−1; every column block that is touched is read whole and checked."""
        stop = self.record["n_targets"] if stop is None else stop
        first, last = start // COLUMNS, -(-stop // COLUMNS)
        block = self._read("margins", slice(first * COLUMNS, last * COLUMNS))
        for j in range(first, last):
            part = np.ascontiguousarray(block[:, (j - first) * COLUMNS : (j - first + 1) * COLUMNS])
            self._check(part, self.record["margins_sha256"][j], f"margins block {j}")
        return block[:, start - first * COLUMNS : stop - first * COLUMNS]

    def _read(self, name: str, columns: slice) -> Shaped[np.ndarray, "models columns"]:
        try:
            return np.asarray(_group(self.store, f"{self.key}.zarr", "r")[name][:, columns])
        except (ValueError, KeyError, TypeError) as error:  # what zarr raises for chunks cut short and broken metadata
            address = f"{self.store.url(self.key)}.zarr"
            raise DamagedObject(f"{address}: {name} cannot be read ({type(error).__name__}: {error})") from error

    def _check(self, values: np.ndarray, expected: str, what: str) -> None:
        if hashlib.sha256(values.tobytes()).hexdigest() != expected:
            raise DamagedObject(f"{self.store.url(self.key)}.zarr: {what} does not match its checksum")
