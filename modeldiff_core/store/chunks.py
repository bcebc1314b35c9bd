"""Zarr groups whose chunks are written and read as plain objects, each with its CRC-32C.

zarr makes the metadata, so that any reader of the format opens such a group. An uncompressed chunk is then just its
values in row order: it can be written and read without zarr, any number of them concurrently.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import zarr
from jaxtyping import Shaped
from zarr.storage import MemoryStore

from modeldiff_core.errors import DamagedObject


@dataclass(frozen=True)
class Grid:
    """A matrix cut into chunks; those at its lower and right edges are padded with zeros."""

    name: str
    shape: tuple[int, int]
    chunk: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def counts(self) -> tuple[int, int]:
        """Number of rows and of columns of chunks."""
        return -(-self.shape[0] // self.chunk[0]), -(-self.shape[1] // self.chunk[1])

    def object(self, i: int, j: int) -> str:
        """Return the name of chunk (i, j) within its group."""
        return f"{self.name}/c/{i}/{j}"

    def rows(self, i: int) -> slice:
        """Return the rows of the matrix that row i of the chunks covers."""
        return slice(i * self.chunk[0], min((i + 1) * self.chunk[0], self.shape[0]))

    def columns(self, j: int) -> slice:
        """Return the columns of the matrix that column j of the chunks covers."""
        return slice(j * self.chunk[1], min((j + 1) * self.chunk[1], self.shape[1]))

    def encode(self, values: Shaped[np.ndarray, "rows columns"]) -> bytes:
        """Return the stored bytes of a chunk, little-endian and padded to the chunk's shape."""
        if values.shape != self.chunk:
            part, values = values, np.zeros(self.chunk, self.dtype)
            values[: part.shape[0], : part.shape[1]] = part
        return values.astype(self.dtype.newbyteorder("<"), copy=False).tobytes()

    def decode(self, data: bytes, i: int, j: int) -> Shaped[np.ndarray, "rows columns"]:
        """Return the values of chunk (i, j) without padding; raise ValueError for bytes of another size."""
        rows, columns = self.rows(i), self.columns(j)
        whole = np.frombuffer(data, self.dtype.newbyteorder("<")).reshape(self.chunk)
        return whole[: rows.stop - rows.start, : columns.stop - columns.start]


def metadata(grids: Iterable[Grid]) -> dict[str, bytes]:
    """Return the metadata objects of a zarr group of these matrices, keyed by their names within the group."""
    objects: dict[str, Any] = {}
    group = zarr.open_group(MemoryStore(objects), mode="w")
    for grid in grids:
        group.create_array(grid.name, shape=grid.shape, dtype=grid.dtype, chunks=grid.chunk, compressors=None)
    return {name: content.to_bytes() for name, content in objects.items()}


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of an object (20 GB/s where SHA-256 reaches 1.8)."""
    return int(google_crc32c.value(data))


def check(data: bytes, expected: int | None, address: str, key: str) -> None:
    """Raise DamagedObject, naming `key`, if the checksum of the object at `address` is not the expected one."""
    if crc32c(data) != expected:
        raise DamagedObject(f"{address} does not match its checksum", keys=(key,))
