"""Images and labels in one NumPy archive."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeldiff_core.data.examples import Dataset, Examples, as_labels, as_pixels
from modeldiff_core.data.plants import Plant, planted
from modeldiff_core.data.split import chosen
from modeldiff_core.errors import ConfigError, DataError


@dataclass(frozen=True)
class Npz:
    """A NumPy archive with arrays x_train, y_train, x_test, y_test and optionally classes (names).

    Images are uint8 in 0..255 or floats in 0..1; labels are class indices. Any other pair NAME_train, NAME_test becomes
    a metadata column: one value an example, or a mask [examples, height, width].
    """

    path: str
    n_train: int | None = None
    n_test: int | None = None
    seed: int = 0
    plant: Plant | None = None

    def files(self) -> list[Path]:
        """Return the archive; raises ConfigError if there is none."""
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise ConfigError("dataset.path", "a NumPy archive (.npz)", self.path)
        return [path]

    def load(self) -> Dataset:
        (path,) = self.files()
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except Exception as error:
            raise DataError(f"{path}: not a readable NumPy archive ({error})") from error
        missing = {"x_train", "y_train", "x_test", "y_test"} - arrays.keys()
        if missing:
            raise DataError(
                f"{path}: lacks {', '.join(sorted(missing))}; it holds {', '.join(sorted(arrays)) or 'nothing'}"
            )
        for part in ("train", "test"):
            if not np.issubdtype(arrays[f"y_{part}"].dtype, np.integer):
                raise DataError(f"{path}: y_{part}: labels must be integers, got {arrays[f'y_{part}'].dtype}")
        largest = max(arrays[f"y_{part}"].max(initial=-1) for part in ("train", "test"))
        classes = tuple(str(name) for name in arrays.get("classes", np.arange(largest + 1)))
        parts = []
        for part, size in (("train", self.n_train), ("test", self.n_test)):
            images = as_pixels(arrays[f"x_{part}"], f"{path}: x_{part}")
            labels = as_labels(arrays[f"y_{part}"], len(images), len(classes), f"{path}: y_{part}")
            examples = Examples(images, labels, _columns(arrays, part, len(images), path))
            parts.append(chosen(examples, size, self.seed, f"dataset.n_{part}"))
        if parts[0].images.shape[1:] != parts[1].images.shape[1:]:
            raise DataError(
                f"{path}: training images are {parts[0].images.shape[1:]}, test images {parts[1].images.shape[1:]}"
            )
        return planted(Dataset(parts[0], parts[1], classes), self.plant)


def _columns(arrays: dict[str, np.ndarray], part: str, count: int, path: Path) -> dict[str, np.ndarray]:
    """Metadata of a part; raises DataError for a column that is not there in both parts or of another length."""
    names = {name.rpartition("_")[0] for name in arrays if name.endswith(("_train", "_test"))} - {"x", "y"}
    columns = {}
    for name in sorted(names):
        column = arrays.get(f"{name}_{part}")
        if column is None or column.shape[:1] != (count,) or column.ndim not in (1, 3):
            shape = "missing" if column is None else f"of shape {column.shape}"
            raise DataError(f"{path}: metadata {name}_{part} is {shape}, expected one value or mask for {count} images")
        columns[name] = column
    return columns
