"""Data sets in MNIST's four idx files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.idx import read_idx
from modeldiff_core.data.labels import as_labels
from modeldiff_core.data.listings import source_folder
from modeldiff_core.data.pixels import as_pixels
from modeldiff_core.data.plants import Plant, planted
from modeldiff_core.data.split import chosen
from modeldiff_core.errors import ConfigError, DataError

PREFIXES = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class MnistIdx:
    """A data set in MNIST's four files (train- and t10k-, images-idx3-ubyte and labels-idx1-ubyte), plain or .gz.

    classes: their names in the order of the labels. n_train, n_test: of a stratified choice; all if not given.
    """

    folder: str
    classes: tuple[str, ...] = tuple("0123456789")
    n_train: int | None = None
    n_test: int | None = None
    seed: int = 0
    plant: Plant | None = None

    def __post_init__(self) -> None:
        if len(set(self.classes)) < max(2, len(self.classes)):
            raise ConfigError("dataset.classes", "two or more distinct names", self.classes)

    def files(self) -> list[Path]:
        """Every file that ``load`` reads."""
        return list(idx_files(source_folder(self.folder)))

    def load(self) -> Dataset:
        folder = source_folder(self.folder)
        return planted(read_idx_folder(folder, self.classes, (self.n_train, self.n_test), self.seed), self.plant)


def idx_files(folder: Path) -> Iterator[Path]:
    """Training images, training labels, test images, test labels; raises DataError for the first that is missing."""
    for prefix in PREFIXES.values():
        for kind in ("images-idx3", "labels-idx1"):
            name = f"{prefix}-{kind}-ubyte"
            path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
            if path is None:
                raise DataError(f"{folder}: holds neither {name} nor {name}.gz")
            yield path


def read_idx_folder(folder: Path, classes: tuple[str, ...], sizes: tuple[int | None, int | None], seed: int) -> Dataset:
    """Both parts, each a stratified choice of the given size.

    Raises DataError that names the file or the label at fault.
    """
    files = idx_files(folder)
    parts = []
    for (part, prefix), size in zip(PREFIXES.items(), sizes, strict=True):
        images = as_pixels(read_idx(next(files)), str(folder))
        source = f"{folder}: {prefix} labels"
        labels = as_labels(read_idx(next(files)), len(images), len(classes), source)
        parts.append(chosen(Examples(images, labels), size, seed, f"dataset.n_{part}"))
    shapes = [part.images.shape[1:] for part in parts]
    if shapes[0] != shapes[1]:
        raise DataError(f"{folder}: training images are {shapes[0]}, test images {shapes[1]}")
    return Dataset(parts[0], parts[1], classes)
