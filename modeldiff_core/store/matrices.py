"""Consolidated matrices: all shards of a training as one zarr group, read by columns.

A matrix is valid when its record exists. The record names the group that holds the arrays, which nothing else ever
writes to, and a SHA-256 for each block of columns, so that whoever reads a block can check it without reading the rest.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from fsspec.implementations.local import LocalFileSystem
from jaxtyping import Bool, Float, Shaped, UInt8
from zarr.storage import FsspecStore, LocalStore

from modeldiff_core.errors import DamagedObject, StoreError
from modeldiff_core.store.objects import ObjectStore
from modeldiff_core.store.records import read_record, write_record
from modeldiff_core.store.shards import Shard

ROWS, COLUMNS = 8192, 100
"""Chunk of the margins: models × targets (3.3 MB of float32)."""


def open_group(store: ObjectStore, key: str, mode: str = "r") -> Any:
    """The zarr group of that key."""
    if isinstance(store.fs, LocalFileSystem):
        place: LocalStore | FsspecStore = LocalStore(store.path(key), read_only=mode == "r")
    elif store.fs.async_impl:
        place = FsspecStore(store.settings.filesystem(asynchronous=True), mode == "r", store.path(key))
    else:
        place = FsspecStore.from_url(store.url(key), read_only=mode == "r")
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
    """Stream shards, in order, into a new group beside ``<key>.json`` and write that record last.

    A matrix that is there already stays as it is for whoever reads it, and is replaced with its record. The margins'
    type is that of the first shard. Rows beyond `models` are left out.

    Memory: two buffers of ROWS × (bytes of a margin × targets + train/8) bytes (one is written while the other is
    filled), up to as much again on its way through zarr, and a shard; so it does not grow with the models. Raises
    DamagedObject, and leaves nothing, if the shards hold fewer models or differ in their type.
    """
    group = f"{key}.{uuid.uuid4().hex[:8]}.zarr"
    writer: _Writer | None = None
    at = 0
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="matrix") as thread:
            for shard in shards:
                if writer is None:
                    writer = _Writer(store, group, (models, n_train, n_targets), shard.margins.dtype, thread)
                if shard.margins.dtype != writer.dtype:
                    raise DamagedObject(
                        f"{store.url(key)}: margins of type {writer.dtype}, from model {shard.first} on "
                        f"{shard.margins.dtype}"
                    )
                at += writer.add(shard)
            if writer is None or at < models:
                raise DamagedObject(f"{store.url(key)}: {at} models in the shards, {models} expected")
            sums = writer.finish()
    except BaseException:
        discard_group(store, group)
        raise
    record = {
        "identity": identity,
        "group": group.rsplit("/", 1)[-1],
        "models": models,
        "n_train": n_train,
        "n_targets": n_targets,
        **sums,
    }
    write_record(store, f"{key}.json", record)
    return record


def discard_group(store: ObjectStore, group: str) -> None:
    """Delete what has been written of a group that no record names; what cannot be deleted stays as a stray."""
    try:
        for key in store.sizes(group):
            store.delete(key)
    except StoreError:
        return


class _Writer:
    """Gathers rows in one buffer while the other is written; keeps the checksums of what has been written."""

    def __init__(
        self,
        store: ObjectStore,
        group: str,
        size: tuple[int, int, int],
        dtype: np.dtype[Any],
        thread: ThreadPoolExecutor,
    ) -> None:
        models, n_train, n_targets = size
        self.store, self.group, self.models, self.dtype, self.thread = store, group, models, dtype, thread
        self.rows, packed = min(ROWS, models), -(-n_train // 8)
        self._buffers = [
            (np.empty((self.rows, n_targets), dtype), np.empty((self.rows, packed), np.uint8)) for _ in range(2)
        ]
        self._at = 0
        self._writing: Future[None] | None = None
        self._diverged: list[int] = []
        self._margin_sums = [hashlib.sha256() for _ in range(0, n_targets, COLUMNS)]
        self._mask_sum = hashlib.sha256()
        columns = min(COLUMNS, n_targets)
        self._margins, self._masks = store.upload(
            "created", group, lambda: self._create(models, n_targets, packed, columns), 0
        )

    def _create(self, models: int, n_targets: int, packed: int, columns: int) -> tuple[Any, Any]:
        group = open_group(self.store, self.group, "w")
        margins = group.create_array(
            "margins", shape=(models, n_targets), dtype=self.dtype, chunks=(self.rows, columns), compressors=None
        )
        masks = group.create_array(
            "masks", shape=(models, packed), dtype="uint8", chunks=(self.rows, packed), compressors=None
        )
        return margins, masks

    def add(self, shard: Shard) -> int:
        """Take the rows of a shard that the matrix still lacks; gives how many they are."""
        count = min(len(shard.margins), self.models - self._at)
        packed = np.packbits(shard.masks[:count], axis=1)
        self._diverged += (self._at + np.flatnonzero(shard.diverged[:count])).tolist()
        taken = 0
        while taken < count:
            filled = self._at % self.rows
            some = min(count - taken, self.rows - filled)
            margins, masks = self._buffers[0]
            margins[filled : filled + some] = shard.margins[taken : taken + some]
            masks[filled : filled + some] = packed[taken : taken + some]
            taken, self._at = taken + some, self._at + some
            if self._at % self.rows == 0:
                self._flush(self.rows)
        return count

    def finish(self) -> dict[str, Any]:
        """Write what is left; gives what the record says of the values."""
        if self._at % self.rows:
            self._flush(self._at % self.rows)
        self._wait()
        return {
            "diverged": self._diverged,
            "margins_sha256": [block.hexdigest() for block in self._margin_sums],
            "masks_sha256": self._mask_sum.hexdigest(),
        }

    def _flush(self, count: int) -> None:
        self._wait()
        margins, masks = self._buffers[0]
        self._buffers.reverse()
        self._writing = self.thread.submit(self._write, self._at - count, margins[:count], masks[:count])

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()

    def _write(
        self, start: int, margins: Float[np.ndarray, "models targets"], masks: UInt8[np.ndarray, "models bytes"]
    ) -> None:
        here = slice(start, start + len(margins))
        self.store.upload("written", self.group, lambda: self._margins.__setitem__(here, margins), margins.nbytes)
        self.store.upload("written", self.group, lambda: self._masks.__setitem__(here, masks), masks.nbytes)
        for j, block in enumerate(self._margin_sums):
            block.update(margins[:, j * COLUMNS : (j + 1) * COLUMNS].tobytes())
        self._mask_sum.update(masks.data)


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

    @property
    def group(self) -> str:
        """Key of the zarr group that holds its arrays."""
        folder = self.key.rpartition("/")[0]
        return f"{folder}/{self.record['group']}" if folder else str(self.record["group"])

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
            part = block[:, (j - first) * COLUMNS : (j - first + 1) * COLUMNS]
            self._check(part, self.record["margins_sha256"][j], f"margins block {j}")
        return block[:, start - first * COLUMNS : stop - first * COLUMNS]

    def _read(self, name: str, columns: slice) -> Shaped[np.ndarray, "models columns"]:
        broken = ValueError, KeyError, TypeError  # what zarr raises for chunks cut short and broken metadata
        try:
            return self.store.attempt(
                "read", self.group, lambda: np.asarray(self._arrays[name][:, columns]), *broken, FileNotFoundError
            )
        except (*broken, FileNotFoundError) as error:
            address = self.store.url(self.group)
            raise DamagedObject(f"{address}: {name} cannot be read ({type(error).__name__}: {error})") from error

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        group = open_group(self.store, self.group)
        return {name: group[name] for name in ("margins", "masks")}

    def _check(self, values: np.ndarray, expected: str, what: str) -> None:
        if hashlib.sha256(np.ascontiguousarray(values).data).hexdigest() != expected:
            raise DamagedObject(f"{self.store.url(self.group)}: {what} does not match its checksum")
