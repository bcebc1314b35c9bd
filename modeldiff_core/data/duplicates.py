"""Images that are there more than once: exact copies, and near ones that differ in ways that cannot be seen."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8

from modeldiff_core.data.kinds import PICTURES
from modeldiff_core.data.memory import room_for
from modeldiff_core.data.notes import NAMED, Tally
from modeldiff_core.errors import ConfigError

if TYPE_CHECKING:
    from modeldiff_core.data.examples import Dataset, Examples

SIDE = 8
"""Side of the reduced image in which near copies are equal."""
LEVELS = 16
"""Levels of gray of the reduced image."""
OFFSETS = (0, 4, 8, 12)
"""Added to gray before it is rounded: images that differ in ways that cannot be seen are equal under one, even if
one of their means is where two levels meet under another."""
GRAY = np.array([299, 587, 114], np.uint32)
"""Thousandths of red, green and blue in gray (ITU-R 601)."""
BLOCK_BYTES = 16 << 20
"""Pixels that are looked at together, so that images on disk need no memory of their own."""

EXACT, NEAR = "exact copies", "near copies"
WITHIN = "within a part"

Likeness = Literal["near", "exact"]
Groups = Int[np.ndarray, " examples"]


@dataclass(frozen=True)
class Copies:
    """Which examples are one image; training examples first, then test examples.

    exact, near: a number for each example, the same for those that are copies of each other. Near copies hold exact
    ones. labels: their classes. n_train: how many are training examples.
    """

    exact: Groups
    near: Groups
    labels: Int[np.ndarray, " examples"]
    n_train: int

    def alike(self, by: Likeness) -> Groups:
        """Return the groups of images that are alike in that way, over both parts."""
        return self.near if by == "near" else self.exact

    def train_groups(self, by: Likeness) -> tuple[int, ...]:
        """Return a number for each training example, the same for those that are alike."""
        return tuple(self.alike(by)[: self.n_train].tolist())

    def tallies(self) -> tuple[Tally, ...]:
        """Return how many images have a copy, by where it is; names are positions of the first that do."""
        found = []
        for kind, groups in ((EXACT, self.exact), (NEAR, self.near)):
            for words, members in self._kinds(groups):
                train, test = members[: self.n_train], members[self.n_train :]
                if members.any():
                    names = [f"train {at}" for at in np.flatnonzero(train)[:NAMED]]
                    names += [f"test {at}" for at in np.flatnonzero(test)[: NAMED - len(names)]]
                    found.append(Tally(f"{kind} {words}", int(train.sum()), int(test.sum()), tuple(names)))
        exact = {one.what.removeprefix(EXACT): one for one in found if one.what.startswith(EXACT)}
        # Exact copies are near ones too: what says the same again is left out.
        return tuple(one for one in found if not _same(one, exact.get(one.what.removeprefix(NEAR))))

    def _kinds(self, groups: Groups) -> Iterator[tuple[str, Bool[np.ndarray, " examples"]]]:
        """Yield which examples have a copy within their part, in the other part, and in another class."""
        in_train = np.arange(len(groups)) < self.n_train
        count = int(groups.max(initial=-1)) + 1
        train = np.bincount(groups[in_train], minlength=count)
        test = np.bincount(groups[~in_train], minlength=count)
        lowest, highest = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
        np.minimum.at(lowest, groups, self.labels)
        np.maximum.at(highest, groups, self.labels)
        own = np.where(in_train, train[groups], test[groups])
        yield WITHIN, own > 1
        yield "in training and test alike", (train[groups] > 0) & (test[groups] > 0)
        yield "of another class", (lowest < highest)[groups]


def misleads(one: Tally) -> bool:
    """Return whether copies of that kind can cause false findings: a label that differs, a test image seen."""
    return not one.what.endswith(WITHIN)


def copies_told(one: Tally, noun: str = PICTURES.noun) -> str:
    """Return the warning about them. noun: what an example is called."""
    return (
        f"{one.train:,} training and {one.test:,} test {noun}s are {one.what}: a direction may be about nothing but "
        "these (dataset.duplicates=group keeps copies together in each subset, drop leaves them out)"
    )


def _same(near: Tally, exact: Tally | None) -> bool:
    return near.what.startswith(NEAR) and exact is not None and (near.train, near.test) == (exact.train, exact.test)


def without_copies(dataset: "Dataset", by: Likeness) -> "Dataset":
    """Return a dataset of whose training images the first of each group stays, and none that is a test image, too.

    The notes say how many were left out. Raises ConfigError for one that trainers read from a beton, whose images
    cannot be.
    """
    copies, noun = dataset.copies, dataset.kind.noun
    groups, n = copies.alike(by), copies.n_train
    tested = np.isin(groups[:n], groups[n:])
    _, first = np.unique(groups[:n], return_index=True)
    later = ~np.isin(np.arange(n), first) & ~tested
    if not (tested | later).any():
        return dataset
    if dataset.train.beton is not None:
        hint = "Build it again with dataset.duplicates=drop, and train from that without it"
        raise ConfigError("dataset.duplicates", "go_on or group for a build with betons", "drop", hint)
    left_out = [
        Tally(f"training {noun}s that are {words} (dataset.duplicates=drop)", int(which.sum()), 0, _places(which))
        for words, which in ((f"test {noun}s, too", tested), ("copies of earlier ones", later))
        if which.any()
    ]
    notes = replace(dataset.notes, left_out=(*dataset.notes.left_out, *left_out))
    kept = np.flatnonzero(~(tested | later))
    if dataset.kind != PICTURES:
        return replace(dataset, train=dataset.train.select(kept), notes=notes)
    images = room_for((len(kept), *dataset.train.images.shape[1:]))
    step = max(1, BLOCK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(kept), step):
        images[start : start + step] = dataset.train.images[kept[start : start + step]]
    columns = {name: column[kept] for name, column in dataset.train.metadata.items()}
    train = replace(dataset.train, images=images, labels=dataset.train.labels[kept], metadata=columns)
    return replace(dataset, train=train, notes=notes)


def _places(which: Bool[np.ndarray, " train"]) -> tuple[str, ...]:
    return tuple(f"train {at}" for at in np.flatnonzero(which)[:NAMED])


def find_copies(dataset: "Dataset") -> Copies:
    """Return which images of a dataset are copies of each other, over both parts."""
    parts = (dataset.train, dataset.test)
    exact = Alike(sum(map(len, parts)))
    exact.join([key for part in parts for key in pixel_digests(part)])
    labels = np.concatenate([part.labels if part.classed else np.zeros(len(part), np.int64) for part in parts])
    if dataset.kind != PICTURES:  # nothing is seen in rows and texts: they are copies if they are equal
        return Copies(exact.groups(), exact.groups(), labels, len(dataset.train))
    near = Alike(sum(map(len, parts)))
    for keys in zip(*(keys for part in parts for keys in reduced_digests(part)), strict=True):
        near.join(keys)
    return Copies(exact.groups(), near.groups(), labels, len(dataset.train))


def pixel_digests(examples: "Examples") -> Iterator[bytes]:
    """Yield 16 bytes for each image that are equal for images of equal pixels."""
    for image in examples.images:
        yield _digest(image)


def reduced_digests(examples: "Examples") -> Iterator[tuple[bytes, ...]]:
    """Yield 16 bytes for each image and offset that are equal for those alike at 8×8 gray pixels in 16 levels.

    An image that is of one level all over says too little to be like another: its bytes are those of its pixels.
    """
    images = examples.images
    size = max(1, BLOCK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), size):
        block = np.asarray(images[start : start + size])
        grids = [reduced_images(block, offset) for offset in OFFSETS]
        flat = (grids[0] == grids[0][:, :1, :1]).all((1, 2))
        for at, dull in enumerate(flat):
            yield (_digest(block[at]),) * len(OFFSETS) if dull else tuple(_digest(grid[at]) for grid in grids)


def _digest(image: Shaped[np.ndarray, "..."]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def reduced_images(
    images: UInt8[np.ndarray, "examples height width channels"], offset: int = 0
) -> UInt8[np.ndarray, "examples 8 8"]:
    """Return images as 8×8 means of gray in 16 levels: floor((mean + offset) / 16).

    Three channels are weighted to gray, of any other number the mean is taken. Rows and columns are divided as evenly
    as they can be; a side shorter than 8 pixels repeats them.
    """
    channels = images.shape[3]
    gray = (images.astype(np.uint32) @ GRAY) // 1000 if channels == 3 else images.sum(3, dtype=np.uint32) // channels
    for axis in (1, 2):
        side = images.shape[axis]
        edges = np.arange(SIDE + 1) * side // SIDE
        starts, widths = edges[:-1], np.maximum(1, np.diff(edges))
        shape = [1, 1, 1]
        shape[axis] = SIDE
        # reduceat takes the pixel at a start where a part is empty, which is what a short side needs.
        gray = np.add.reduceat(gray, starts, axis) // widths.reshape(shape)
    return ((gray + offset) * LEVELS // 256).astype(np.uint8)


class Alike:
    """Groups of examples that grow together where any of several keys is equal."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def join(self, keys: Iterable[bytes]) -> None:
        """Put examples of equal keys, one for each of them, into one group."""
        first: dict[bytes, int] = {}
        for at, key in enumerate(keys):
            one, other = self._top(first.setdefault(key, at)), self._top(at)
            self._above[max(one, other)] = min(one, other)

    def groups(self) -> Groups:
        """Return a number for each example, the same within a group: the position of its first."""
        return np.array([self._top(at) for at in range(len(self._above))], np.int64)

    def _top(self, at: int) -> int:
        while self._above[at] != at:
            self._above[at] = self._above[self._above[at]]
            at = self._above[at]
        return at
