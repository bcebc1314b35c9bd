"""What every source made of single image files shares: list, choose, and only then decode."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.images import Framing, decode_images
from modeldiff_core.data.plants import Plant, planted
from modeldiff_core.data.split import chosen
from modeldiff_core.errors import ConfigError


@dataclass(frozen=True)
class Listing:
    """Image files in a fixed order, with a class index and named columns for each."""

    paths: tuple[Path, ...]
    labels: Int[np.ndarray, " examples"]
    metadata: Mapping[str, Shaped[np.ndarray, " examples"]] = field(default_factory=dict)

    def select(self, index: Int[np.ndarray, " chosen"]) -> "Listing":
        """Return the files at the given positions, in that order."""
        columns = {name: column[index] for name, column in self.metadata.items()}
        return Listing(tuple(self.paths[i] for i in index), self.labels[index], columns)


@dataclass(frozen=True, kw_only=True)
class ImageFiles(ABC):
    """A source of single image files.

    folder: where they are; it is not identity. resolution, resize_ratio: see Framing. n_train, n_test: a stratified
    choice of so many, drawn from `seed`; all if not given.
    """

    folder: str
    resolution: int = 224
    resize_ratio: float = 1.0
    n_train: int | None = None
    n_test: int | None = None
    seed: int = 0
    plant: Plant | None = None

    def __post_init__(self) -> None:
        self.framing()

    @abstractmethod
    def listings(self, root: Path) -> tuple[tuple[str, ...], Listing, Listing]:
        """Classes, training files and test files; raises DataError for what is missing or mislabelled."""

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
        classes, *parts = self._chosen(source_folder(self.folder))
        train, test = (
            Examples(decode_images(part.paths, self.framing()), part.labels, part.metadata) for part in parts
        )
        return planted(Dataset(train, test, classes), self.plant)

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
