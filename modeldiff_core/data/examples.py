"""Labelled images in memory: what every algorithm is given."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from modeldiff_core.data.duplicates import Copies, find_copies
from modeldiff_core.data.inventory import Inventory, take_inventory
from modeldiff_core.data.notes import Notes
from modeldiff_core.errors import DataError


@dataclass(frozen=True)
class Examples:
    """Images [examples, height, width, channels] in 0..255, a class index each, and named columns about them.

    A column holds one value an example, or a mask [height, width] of it.
    beton: path of an FFCV file that begins with the same images in the same order, if there is one.
    """

    images: UInt8[np.ndarray, "examples height width channels"]
    labels: Int[np.ndarray, " examples"]
    metadata: Mapping[str, Shaped[np.ndarray, "examples ..."]] = field(default_factory=dict)
    beton: str | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: Int[np.ndarray, " chosen"]) -> "Examples":
        """Return the examples at the given positions, in that order."""
        columns = {name: column[index] for name, column in self.metadata.items()}
        return Examples(self.images[index], self.labels[index], columns)

    def first(self, count: int) -> "Examples":
        """That many examples from the start, which are also the first of the beton; nothing is copied."""
        columns = {name: column[:count] for name, column in self.metadata.items()}
        return Examples(self.images[:count], self.labels[:count], columns, self.beton)


@dataclass(frozen=True)
class Dataset:
    """A training and a test set over the same classes; `fingerprint` is a SHA-256 over every value in it.

    notes: what its source did besides reading, which is no part of the values.
    """

    train: Examples
    test: Examples
    classes: tuple[str, ...]
    notes: Notes = field(default_factory=Notes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @cached_property
    def inventory(self) -> Inventory:
        """Return what it holds and what became of its source; counted once, since examples never change."""
        return take_inventory(self)

    @cached_property
    def copies(self) -> Copies:
        """Return which images are there more than once; found once, since examples never change."""
        return find_copies(self)

    @cached_property
    def fingerprint(self) -> str:
        """Return the digest of all images, labels and metadata: two data sets with one fingerprint train alike.

        It is hashed once for each loaded data set, since every shard asks for it and examples never change.
        Raises DataError for a column of Python objects, whose bytes are addresses.
        """
        sha = hashlib.sha256()
        for part in (self.train, self.test):
            arrays = {"images": part.images, "labels": part.labels.astype(np.int64), **part.metadata}
            for name in sorted(arrays):
                array = np.ascontiguousarray(arrays[name])
                if array.dtype.hasobject:
                    raise DataError(
                        f"metadata {name!r}: holds Python objects; use numbers, booleans or fixed-width text"
                    )
                sha.update(f"{name}{array.dtype.str}{array.shape}".encode())
                sha.update(array.reshape(-1).view(np.uint8).data)
        sha.update("\x1f".join(self.classes).encode())
        return sha.hexdigest()
