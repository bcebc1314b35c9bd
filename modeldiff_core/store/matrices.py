"""Consolidated matrices: all shards of a training as one zarr group, read by columns.

A matrix is valid when its record exists. The record names the group that holds the arrays, which nothing else ever
writes to, and the checksum of each of its objects, so that whoever reads some columns can check them without the rest.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from modeldiff_core.errors import DamagedObject, StoreError
from modeldiff_core.store.chunks import Grid, check, crc32c, metadata
from modeldiff_core.store.objects import ObjectStore
from modeldiff_core.store.records import read_record, write_record
from modeldiff_core.store.shards import Shard

ROWS, COLUMNS = 4096, 100
"""Most models and targets in a chunk of the margins (1.6 MB of float32)."""

WRITERS, READERS = 4, 8
"""Chunks on their way at a time."""

PARTS = "group", "models", "n_train", "n_targets", "dtype", "chunk", "diverged", "crc32c"
"""What the record of a matrix says besides its identity."""


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
    filled), WRITERS chunks and a shard; so it does not grow with the models. Raises DamagedObject, and leaves nothing,
    if the shards hold fewer models or differ in their type.
    """
    group = f"{key}.{uuid.uuid4().hex[:8]}.zarr"
    chunk = -(-models // -(-models // ROWS)), min(COLUMNS, n_targets)  # rows of chunks are of nearly equal size
    writer: _Writer | None = None
    at = 0
    try:
        with workers(WRITERS) as threads:
            for shard in shards:
                if writer is None:
                    margins, masks = grids(models, n_train, n_targets, chunk, shard.margins.dtype)
                    writer = _Writer(store, group, margins, masks, threads)
                if shard.margins.dtype != margins.dtype:
                    raise DamagedObject(
                        f"{store.url(key)}: margins of type {margins.dtype}, from model {shard.first} on "
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
        "dtype": margins.dtype.name,
        "chunk": list(chunk),
        "diverged": writer.diverged,
        "crc32c": sums,
    }
    write_record(store, f"{key}.json", record)
    return record


def grids(models: int, n_train: int, n_targets: int, chunk: tuple[int, int], dtype: np.dtype[Any]) -> tuple[Grid, Grid]:
    """How margins and masks are cut; chunk: models and targets of a chunk of the margins."""
    packed = -(-n_train // 8)
    return (
        Grid("margins", (models, n_targets), chunk, dtype),
        Grid("masks", (models, packed), (chunk[0], packed), np.dtype(np.uint8)),
    )


@contextmanager
def workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads; if the block fails, they end what they have begun and drop what waits."""
    threads = ThreadPoolExecutor(count, thread_name_prefix="matrix")
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


def discard_group(store: ObjectStore, group: str) -> None:
    """Delete what has been written of a group that no record names; what cannot be deleted stays as a stray."""
    try:
        for key in store.sizes(group):
            store.delete(key)
    except StoreError:
        return


class _Writer:
    """Gathers rows in one buffer while the other is written; keeps the checksums of what has been written."""

    def __init__(self, store: ObjectStore, group: str, margins: Grid, masks: Grid, threads: ThreadPoolExecutor) -> None:
        self.store, self.group, self.margins, self.masks, self.threads = store, group, margins, masks, threads
        self.models, self.rows = margins.shape[0], margins.chunk[0]
        self.diverged: list[int] = []
        self._buffers = [tuple(np.empty((self.rows, g.shape[1]), g.dtype) for g in (margins, masks)) for _ in range(2)]
        self._at = 0
        self._sums: dict[str, int] = {}
        self._writing: list[Future[None]] = [
            threads.submit(self._put, name, data) for name, data in metadata((margins, masks)).items()
        ]

    def add(self, shard: Shard) -> int:
        """Take the rows of a shard that the matrix still lacks; gives how many they are."""
        count = min(len(shard.margins), self.models - self._at)
        packed = np.packbits(shard.masks[:count], axis=1)
        self.diverged += (self._at + np.flatnonzero(shard.diverged[:count])).tolist()
        taken = 0
        while taken < count:
            filled = self._at % self.rows
            some = min(count - taken, self.rows - filled)
            margins, masks = self._buffers[0]
            margins[filled : filled + some] = shard.margins[taken : taken + some]
            masks[filled : filled + some] = packed[taken : taken + some]
            taken, self._at = taken + some, self._at + some
            if self._at % self.rows == 0:
                self._flush()
        return count

    def finish(self) -> dict[str, int]:
        """Write what is left; gives the checksums of all objects of the group."""
        if self._at % self.rows:
            self._flush()
        self._wait()
        return self._sums

    def _flush(self) -> None:
        self._wait()
        row = (self._at - 1) // self.rows
        for grid, values in zip((self.margins, self.masks), self._buffers[0], strict=True):
            for column in range(grid.counts[1]):
                self._writing.append(self.threads.submit(self._chunk, grid, values, row, column))
        self._buffers.reverse()

    def _wait(self) -> None:
        for writing in self._writing:
            writing.result()
        self._writing.clear()

    def _chunk(self, grid: Grid, values: Shaped[np.ndarray, "rows columns"], row: int, column: int) -> None:
        rows = grid.rows(row)
        self._put(grid.object(row, column), grid.encode(values[: rows.stop - rows.start, grid.columns(column)]))

    def _put(self, name: str, data: bytes) -> None:
        self.store.write(f"{self.group}/{name}", data)
        self._sums[name] = crc32c(data)


@dataclass(frozen=True)
class MarginMatrix:
    """A consolidated matrix that was found complete."""

    store: ObjectStore
    key: str
    record: Mapping[str, Any]

    @classmethod
    def open(cls, store: ObjectStore, key: str) -> "MarginMatrix":
        """The matrix of that key; raises FileNotFoundError if its record is not there, DamagedObject if it is none."""
        record = read_record(store, f"{key}.json")
        missing = [name for name in PARTS if name not in record]
        if missing:
            raise DamagedObject(
                f"{store.url(key)}.json: no record of a matrix, which says its {', '.join(missing)}",
                keys=(f"{key}.json",),
            )
        return cls(store, key, record)

    @property
    def group(self) -> str:
        """Key of the zarr group that holds its arrays."""
        folder = self.key.rpartition("/")[0]
        return f"{folder}/{self.record['group']}" if folder else str(self.record["group"])

    @property
    def grids(self) -> tuple[Grid, Grid]:
        """How its margins and its masks are cut."""
        said = self.record
        rows, columns = said["chunk"]
        return grids(said["models"], said["n_train"], said["n_targets"], (rows, columns), np.dtype(said["dtype"]))

    def valid(self) -> Bool[np.ndarray, " models"]:
        """Which models ended with finite margins."""
        keep = np.ones(self.record["models"], dtype=bool)
        keep[self.record["diverged"]] = False
        return keep

    def masks(self) -> Bool[np.ndarray, "models train"]:
        """All masks, checked against the record."""
        found = np.empty((self.record["models"], self.record["n_train"]), dtype=bool)
        for rows, packed in self.packed_masks():
            found[rows] = np.unpackbits(packed, axis=1, count=self.record["n_train"])
        return found

    def packed_masks(self) -> Iterator[tuple[slice, UInt8[np.ndarray, "rows bytes"]]]:
        """The masks, eight to a byte, by rows of chunks, checked against the record."""
        grid = self.grids[1]
        for row in range(grid.counts[0]):
            yield grid.rows(row), self._chunk(grid, row, 0)

    def margins(self, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "models targets"]:
        """Margins of targets start..stop−1; every chunk that is touched is read whole and checked."""
        stop = self.record["n_targets"] if stop is None else stop
        grid = self.grids[0]
        first, last = start // grid.chunk[1], -(-stop // grid.chunk[1])
        found = np.empty((grid.shape[0], stop - start), grid.dtype)

        def read(row: int, column: int) -> None:
            at = grid.columns(column)
            some = slice(max(start, at.start), min(stop, at.stop))
            chunk = self._chunk(grid, row, column)
            found[grid.rows(row), some.start - start : some.stop - start] = chunk[
                :, some.start - at.start : some.stop - at.start
            ]

        with workers(READERS) as threads:
            for reading in [threads.submit(read, i, j) for i in range(grid.counts[0]) for j in range(first, last)]:
                reading.result()
        return found

    def object(self, name: str) -> bytes:
        """An object of the group, checked against the record; raises DamagedObject also if it is not there."""
        address = self.store.url(f"{self.group}/{name}")
        try:
            data = self.store.read(f"{self.group}/{name}")
        except FileNotFoundError as error:
            raise DamagedObject(f"{address} is not there", keys=(f"{self.key}.json",)) from error
        check(data, self.record["crc32c"].get(name), address, f"{self.key}.json")
        return data

    def _chunk(self, grid: Grid, row: int, column: int) -> Shaped[np.ndarray, "rows columns"]:
        return grid.decode(self.object(grid.object(row, column)), row, column)
