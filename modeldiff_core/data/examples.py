"""Labeled examples in memory: what every algorithm is given."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Int, Real, Shaped

from modeldiff_core.data.duplicates import Copies, find_copies
from modeldiff_core.data.inventory import Inventory, take_inventory
from modeldiff_core.data.kinds import PICTURES, Inputs, Kind, kind_record
from modeldiff_core.data.known import Given, Known
from modeldiff_core.data.notes import Notes
from modeldiff_core.errors import DataError
from modeldiff_core.identity import canonical_json


@dataclass(frozen=True)
class Target:
    """A number that models predict in the place of a class.

    Labels, predictions and errors are in standard deviations from the mean, both of the training part: y = mean +
    deviation·label.
    """

    name: str
    mean: float
    deviation: float


@dataclass(frozen=True)
class Examples:
    """Inputs [examples, height, width, channels], a class index or a number each, and named columns about them.

    images: images in 0..255; rows of a table and sequences of ids are kept here too, in the axes that `kinds` states.
    labels: class indices, or the numbers of a Target. A column holds one value an example, or a mask [height, width]
    of it. beton: path of an FFCV file that begins with the same images in the same order, if there is one.
    """

    images: Inputs
    labels: Real[np.ndarray, " examples"]
    metadata: Mapping[str, Shaped[np.ndarray, "examples ..."]] = field(default_factory=dict)
    beton: str | None = None
    kind: Kind = PICTURES

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: Int[np.ndarray, " chosen"]) -> "Examples":
        """Return the examples at the given positions, in that order."""
        columns = {name: column[index] for name, column in self.metadata.items()}
        return Examples(self.images[index], self.labels[index], columns, kind=self.kind)

    def first(self, count: int) -> "Examples":
        """That many examples from the start, which are also the first of the beton; nothing is copied."""
        columns = {name: column[:count] for name, column in self.metadata.items()}
        return Examples(self.images[:count], self.labels[:count], columns, self.beton, self.kind)

    @property
    def classed(self) -> bool:
        """Whether labels are classes, not numbers."""
        return self.labels.dtype.kind != "f"

    @property
    def strata(self) -> Int[np.ndarray, " examples"]:
        """The classes within which examples are compared; one of all examples where there are none."""
        return self.labels if self.classed else np.zeros(len(self), np.int64)

    @property
    def known(self) -> Known:
        """What can be said of the examples: images and classes where they have them, else their named values."""
        if self.kind == PICTURES and self.classed:
            return self
        kind = self.kind
        labels = self.labels if self.classed else None
        metadata = {**self.metadata, **kind.categories(self.images)}
        if kind == PICTURES:
            return Given(len(self), labels, metadata, self.images)
        texts = tuple(kind.text(one) for one in self.images)
        return Given(len(self), labels, metadata, None, kind.features(self.images), texts, kind.noun)


@dataclass(frozen=True)
class Dataset:
    """A training and a test set over the same classes; `fingerprint` is a SHA-256 over every value in it.

    notes: what its source did besides reading, which is no part of the values. target: the number that is predicted,
    and then there are no classes.
    """

    train: Examples
    test: Examples
    classes: tuple[str, ...]
    notes: Notes = field(default_factory=Notes)
    target: Target | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def kind(self) -> Kind:
        """What the examples are."""
        return self.train.kind

    @property
    def n_outputs(self) -> int:
        """Numbers that a model gives for an example: a logit for each class, or the number that is predicted."""
        return len(self.classes) if self.target is None else 1

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
            labels = part.labels.astype(np.int64 if part.classed else np.float64)
            arrays = {"images": part.images, "labels": labels, **part.metadata}
            for name in sorted(arrays):
                array = np.ascontiguousarray(arrays[name])
                if array.dtype.hasobject:
                    raise DataError(
                        f"metadata {name!r}: holds Python objects; use numbers, booleans or fixed-width text"
                    )
                sha.update(f"{name}{array.dtype.str}{array.shape}".encode())
                sha.update(array.reshape(-1).view(np.uint8).data)
        sha.update("\x1f".join(self.classes).encode())
        if self.kind != PICTURES:
            sha.update(canonical_json(kind_record(self.kind)).encode())
        if self.target is not None:
            sha.update(canonical_json(vars(self.target)).encode())
        return sha.hexdigest()


def predicting(dataset: Dataset, name: str) -> Dataset:
    """Return a data set of numbers to predict, given as labels in their own unit, with labels as a Target states.

    Raises DataError for a number that is missing, and for training numbers that are all the same.
    """
    for part, examples in (("training", dataset.train), ("test", dataset.test)):
        if not np.isfinite(examples.labels).all():
            count = int((~np.isfinite(examples.labels)).sum())
            raise DataError(f"target {name!r}: {count:,} of {len(examples):,} {part} values are missing or infinite")
    mean, deviation = float(dataset.train.labels.mean()), float(dataset.train.labels.std())
    if not deviation > 0:
        raise DataError(f"target {name!r}: all training values are {mean:g}: there is nothing to predict")
    train, test = (
        replace(part, labels=(part.labels.astype(np.float64) - mean) / deviation)
        for part in (dataset.train, dataset.test)
    )
    return replace(dataset, train=train, test=test, classes=(), target=Target(name, mean, deviation))
