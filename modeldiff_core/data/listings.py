"""What every source made of single image files shares: list, choose, and only then decode."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.expected import Expected
from modeldiff_core.data.images import WHITE, Framing, decode_images
from modeldiff_core.data.notes import PARTS, Counter, Notes, Part, below
from modeldiff_core.data.plants import Plant, planted
from modeldiff_core.data.split import chosen
from modeldiff_core.errors import ConfigError


@dataclass(frozen=True)
class Listing:
    """Image files in a fixed order, with a class index and named columns for each.

    left_out: other files that lie there, by why they are not taken.
    """

    paths: tuple[Path, ...]
    labels: Int[np.ndarray, " examples"]
    metadata: Mapping[str, Shaped[np.ndarray, " examples"]] = field(default_factory=dict)
    left_out: Mapping[str, Sequence[Path]] = field(default_factory=dict)

    def select(self, index: Int[np.ndarray, " chosen"]) -> "Listing":
        """Return the files at the given positions, in that order."""
        columns = {name: column[index] for name, column in self.metadata.items()}
        return Listing(tuple(self.paths[i] for i in index), self.labels[index], columns, self.left_out)


@dataclass(frozen=True, kw_only=True)
class ImageFiles(ABC):
    """A source of single image files.

    folder: where they are; it is not identity. resolution, resize_ratio: see Framing. n_train, n_test: a stratified
    choice of this many, drawn from `seed`; all if not given. background: red, green and blue behind transparent pixels.
    """

    folder: str
    resolution: int = 224
    resize_ratio: float = 1.0
    n_train: int | None = None
    n_test: int | None = None
    seed: int = 0
    plant: Plant | None = None
    background: tuple[int, int, int] = WHITE

    def __post_init__(self) -> None:
        self.framing()
        if not all(0 <= channel <= 255 for channel in self.background):
            raise ConfigError("dataset.background", "red, green and blue in 0..255", list(self.background))

    @abstractmethod
    def listings(self, root: Path) -> tuple[tuple[str, ...], Listing, Listing]:
        """Classes, training files and test files; raises DataError for what is missing or mislabeled."""

    def records(self, root: Path) -> list[Path]:
        """Files other than images that are read."""
        return []

    def framing(self) -> Framing:
        """Return how images are brought to one size."""
        return Framing(self.resolution, self.resize_ratio)

    def files(self) -> list[Path]:
        """Every file that ``load`` reads, training images first."""
        root = source_folder(self.folder)
        _, train, test = self._chosen(root)
        return [*self.records(root), *train.paths, *test.paths]

    def load(self) -> Dataset:
        """List, choose, decode."""
        root = source_folder(self.folder)
        classes, *listings = self._chosen(root)
        changed, left_out = Counter(), Counter()
        parts = []
        for part, listing in zip(PARTS, listings, strict=True):
            for reason, paths in listing.left_out.items():
                for path in paths:
                    left_out.add(reason, part, below(path, root))
            note = partial(_note, changed, part, root)
            images = decode_images(listing.paths, self.framing(), self.background, note)
            parts.append(Examples(images, listing.labels, listing.metadata))
        notes = Notes(changed.tallies(), left_out.tallies(), remarks=self.remarks(root))
        return planted(Dataset(parts[0], parts[1], classes, notes), self.plant)

    def remarks(self, root: Path) -> tuple[str, ...]:
        """Return what a user should know of the folder, a sentence each."""
        return ()

    def _size(self, published: int, classes: int) -> Expected:
        """Return the size of a published set of which a number of images may be chosen."""
        count = published if self.n_train is None else self.n_train
        return Expected(count, (self.resolution, self.resolution, 3), classes)

    def _chosen(self, root: Path) -> tuple[tuple[str, ...], Listing, Listing]:
        classes, train, test = self.listings(root)
        return (
            classes,
            chosen(train, self.n_train, self.seed, "dataset.n_train"),
            chosen(test, self.n_test, self.seed, "dataset.n_test"),
        )


def source_folder(folder: str) -> Path:
    """Return the folder that a source was given; raises ConfigError if there is none."""
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ConfigError("dataset.folder", "a folder with the dataset's files", folder)
    return root


def _note(changed: Counter, part: Part, root: Path, change: str, path: Path) -> None:
    changed.add(change, part, below(path, root))
