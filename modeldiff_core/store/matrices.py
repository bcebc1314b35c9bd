"""Consolidated matrices: all shards of a training as one zarr group, read by columns.

A matrix is valid when its record exists. The record names the group that holds the arrays, which is never written to
again, and the checksum of each of its objects, so that a reader of some columns can check them without the rest.
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
"""Maximum of models and of targets in a chunk of the margins (1.6 MB of float32)."""

WRITERS, READERS = 4, 8
"""Chunks that are written and read concurrently."""

FIELDS = "group", "models", "n_train", "n_targets", "dtype", "chunk", "diverged", "crc32c"
"""Fields of the record of a matrix besides its identity."""


def write_matrix(
    store: ObjectStore,
    key: str,
    shards: Iterable[Shard],
    models: int,
    n_train: int,
    n_targets: int,
    identity: Mapping[str, object],
) -> dict[str, Any]:
    """Write the arrays of a matrix, see ``write_arrays``, and its record last.

    Returns:
        The record.

    Raises:
        DamagedObject: See ``write_arrays``.
    """
    record = write_arrays(store, key, shards, models, n_train, n_targets, identity)
    write_record(store, f"{key}.json", record)
    return record


def write_arrays(
    store: ObjectStore,
    key: str,
    shards: Iterable[Shard],
    models: int,
    n_train: int,
    n_targets: int,
    identity: Mapping[str, object],
) -> dict[str, Any]:
    """Stream shards into a new zarr group next to ``<key>.json``, which makes them a matrix once it is written.

    An existing matrix of that key stays readable for those who have opened it; the new record replaces the old one.

    Memory: two buffers of ROWS × (bytes of a margin × targets + train/8) bytes (one is written while the other is
    filled), WRITERS chunks and a shard, independent of the number of models.

    Args:
        store: Where to write.
        key: Key of the matrix.
        shards: In order of their models; the first one decides the type of the margins.
        models: Rows of the matrix; models of the shards beyond them are left out.
        n_train: Columns of the masks.
        n_targets: Columns of the margins.
        identity: Configuration of the margins, kept in the record.

    Returns:
        The record that completes them, not yet written.

    Raises:
        DamagedObject: If the shards hold fewer models or differ in their type; nothing is left in the store.
    """
    group = f"{key}.{uuid.uuid4().hex[:8]}.zarr"
    chunk = -(-models // -(-models // ROWS)), min(COLUMNS, n_targets)  # rows of chunks are of nearly equal size
    writer: _Writer | None = None
    added = 0
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
                added += writer.add(shard)
            if writer is None or added < models:
                raise DamagedObject(f"{store.url(key)}: {added} models in the shards, {models} expected")
            sums = writer.finish()
    except BaseException:
        discard_group(store, group)
        raise
    return {
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


def grids(models: int, n_train: int, n_targets: int, chunk: tuple[int, int], dtype: np.dtype[Any]) -> tuple[Grid, Grid]:
    """Return how margins and masks are cut; `chunk` holds models and targets of a chunk of the margins."""
    packed = -(-n_train // 8)
    return (
        Grid("margins", (models, n_targets), chunk, dtype),
        Grid("masks", (models, packed), (chunk[0], packed), np.dtype(np.uint8)),
    )


@contextmanager
def workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads; if the block fails, running calls finish and waiting ones are dropped."""
    threads = ThreadPoolExecutor(count, thread_name_prefix="matrix")
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


def discard_group(store: ObjectStore, group: str) -> None:
    """Delete the objects of a group that no record names; those that cannot be deleted stay as strays."""
    try:
        for key in store.sizes(group):
            store.delete(key)
    except StoreError:
        return


class _Writer:
    """A writer that fills one buffer of rows while the other is written, and keeps the checksums of written objects."""

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
        """Add the rows of a shard that the matrix still lacks, and return their number."""
        count = min(len(shard.margins), self.models - self._at)
        packed = np.packbits(shard.masks[:count], axis=1)
        self.diverged += (self._at + np.flatnonzero(shard.diverged[:count])).tolist()
        copied = 0
        while copied < count:
            filled = self._at % self.rows
            step = min(count - copied, self.rows - filled)
            margins, masks = self._buffers[0]
            margins[filled : filled + step] = shard.margins[copied : copied + step]
            masks[filled : filled + step] = packed[copied : copied + step]
            copied, self._at = copied + step, self._at + step
            if self._at % self.rows == 0:
                self._flush()
        return count

    def finish(self) -> dict[str, int]:
        """Write the remaining rows, and return the checksums of all objects of the group."""
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
    """A complete consolidated matrix: its record exists."""

    store: ObjectStore
    key: str
    record: Mapping[str, Any]

    @classmethod
    def open(cls, store: ObjectStore, key: str) -> "MarginMatrix":
        """Return the matrix of that key.

        Raises:
            FileNotFoundError: If there is no record.
            DamagedObject: If the record is damaged or not that of a matrix.
        """
        record = read_record(store, f"{key}.json")
        missing = [name for name in FIELDS if name not in record]
        if missing:
            raise DamagedObject(
                f"{store.url(key)}.json: not the record of a matrix, it lacks {', '.join(missing)}",
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
        """The grids of its margins and of its masks."""
        record = self.record
        rows, columns = record["chunk"]
        dtype = np.dtype(record["dtype"])
        return grids(record["models"], record["n_train"], record["n_targets"], (rows, columns), dtype)

    @property
    def left_out(self) -> list[int]:
        """The models that were screened out although their margins are finite."""
        return list(self.record.get("left_out", ()))

    def valid(self) -> Bool[np.ndarray, " models"]:
        """Return, for every model, whether it counts: it ended with finite margins and was not screened out.

        Raises DamagedObject for a record that names models beyond all.
        """
        models = self.record["models"]
        keep = np.ones(models, dtype=bool)
        for words, rows in (("diverged models", self.record["diverged"]), ("models left out", self.left_out)):
            if any(not 0 <= row < models for row in rows):
                address = f"{self.store.url(self.key)}.json"
                raise DamagedObject(f"{address}: names {words} beyond its {models} models", keys=(f"{self.key}.json",))
            keep[rows] = False
        return keep

    def masks(self) -> Bool[np.ndarray, "models train"]:
        """Return all masks, checked against the record; raise DamagedObject."""
        masks = np.empty((self.record["models"], self.record["n_train"]), dtype=bool)
        for rows, packed in self.packed_masks():
            masks[rows] = np.unpackbits(packed, axis=1, count=self.record["n_train"])
        return masks

    def packed_masks(self) -> Iterator[tuple[slice, UInt8[np.ndarray, "rows bytes"]]]:
        """Yield the masks, eight to a byte, by rows of chunks, checked against the record; raise DamagedObject."""
        grid = self.grids[1]
        for row in range(grid.counts[0]):
            yield grid.rows(row), self._chunk(grid, row, 0)

    def margins(self, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "models targets"]:
        """Return the margins of targets start..stop−1; check every chunk they touch, and raise DamagedObject."""
        stop = self.record["n_targets"] if stop is None else stop
        grid = self.grids[0]
        first, last = start // grid.chunk[1], -(-stop // grid.chunk[1])
        margins = np.empty((grid.shape[0], stop - start), grid.dtype)

        def read(row: int, column: int) -> None:
            columns = grid.columns(column)
            first_target, end = max(start, columns.start), min(stop, columns.stop)
            chunk = self._chunk(grid, row, column)
            margins[grid.rows(row), first_target - start : end - start] = chunk[
                :, first_target - columns.start : end - columns.start
            ]

        with workers(READERS) as threads:
            for reading in [threads.submit(read, i, j) for i in range(grid.counts[0]) for j in range(first, last)]:
                reading.result()
        return margins

    def object(self, name: str) -> bytes:
        """Return an object of the group, checked against the record; raise DamagedObject also if it is missing."""
        address = self.store.url(f"{self.group}/{name}")
        try:
            data = self.store.read(f"{self.group}/{name}")
        except FileNotFoundError as error:
            raise DamagedObject(f"{address} is not there", keys=(f"{self.key}.json",)) from error
        check(data, self.record["crc32c"].get(name), address, f"{self.key}.json")
        return data

    def _chunk(self, grid: Grid, row: int, column: int) -> Shaped[np.ndarray, "rows columns"]:
        return grid.decode(self.object(grid.object(row, column)), row, column)
