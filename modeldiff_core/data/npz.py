"""Images and labels in one NumPy archive."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from modeldiff_core.data.columns import columns_of
from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.labels import Relabeled, missing_remarks, read_labels
from modeldiff_core.data.notes import PARTS, Notes
from modeldiff_core.data.pixels import as_pixels
from modeldiff_core.data.plants import Plant, planted
from modeldiff_core.data.split import chosen
from modeldiff_core.errors import ConfigError, DataError

NEEDED = {"x_train", "y_train", "x_test", "y_test"}
COLUMNS = tuple(f"_{part}" for part in PARTS)
"""How names of metadata end."""


@dataclass(frozen=True)
class Npz:
    """A NumPy archive with arrays x_train, y_train, x_test, y_test and optionally classes (names).

    Images are uint8 in 0..255 or floats in 0..1; labels are class indices, or the classes' names. Any other pair
    NAME_train, NAME_test becomes a metadata column: one value an example, or a mask [examples, height, width].

    relabel: whole numbers are mapped to class indices in their order, and test images of a label that training has not
    are left out. ignore_label: of images that are left out. pixel_range: what is black and what is white.
    channels_first: whether images are [examples, channels, height, width]; if not given they may not seem to be.
    """

    path: str
    n_train: int | None = None
    n_test: int | None = None
    seed: int = 0
    plant: Plant | None = None
    relabel: bool = False
    ignore_label: int | None = None
    pixel_range: tuple[float, float] | None = None
    channels_first: bool | None = None

    def __post_init__(self) -> None:
        if self.pixel_range is not None and not self.pixel_range[0] < self.pixel_range[1]:
            raise ConfigError(
                "dataset.pixel_range", "what is black, and what is white above it", list(self.pixel_range)
            )

    def files(self) -> list[Path]:
        """Return the archive; raises ConfigError if there is none."""
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise ConfigError("dataset.path", "a NumPy archive (.npz)", self.path)
        return [path]

    def load(self) -> Dataset:
        (path,) = self.files()
        arrays = _arrays(path)
        pixels = {
            part: as_pixels(
                arrays[f"x_{part}"],
                f"{path}: x_{part}",
                pixel_range=self.pixel_range,
                channels_first=self.channels_first,
            )
            for part in PARTS
        }
        shapes = {part: images.shape[1:] for part, images in pixels.items()}
        if shapes["train"] != shapes["test"]:
            raise DataError(f"{path}: training images are {shapes['train']}, test images {shapes['test']}")
        found = self._labels(arrays, {part: len(images) for part, images in pixels.items()}, path)
        parts = []
        for part, size in zip(PARTS, (self.n_train, self.n_test), strict=True):
            images, kept = pixels[part], found.kept[part]
            columns = columns_of(arrays, part, len(images), images.shape[1:3], str(path))
            if not kept.all():
                images, columns = images[kept], {name: column[kept] for name, column in columns.items()}
            examples = Examples(images, found.labels[part], columns)
            parts.append(chosen(examples, size, self.seed, f"dataset.n_{part}"))
        notes = Notes(left_out=found.left_out, written=found.written, remarks=tuple(_remarks(arrays, found.classes)))
        return planted(Dataset(parts[0], parts[1], found.classes, notes), self.plant)

    def _labels(self, arrays: Mapping[str, np.ndarray], counts: Mapping[str, int], path: Path) -> Relabeled:
        names = arrays.get("classes")
        classes = None if names is None else [str(name) for name in names]
        if classes is not None and len(set(classes)) < len(classes):
            twice = sorted({name for name in classes if classes.count(name) > 1})
            raise DataError(f"{path}: classes: two have one name ({', '.join(twice)})")
        return read_labels(
            {part: arrays[f"y_{part}"] for part in PARTS},
            {part: counts[part] for part in PARTS},
            classes,
            str(path),
            relabel=self.relabel,
            ignore=self.ignore_label,
        )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return what an archive holds; raises DataError that names the array at fault, or what is missing."""
    arrays, name = {}, ""
    if not is_zipfile(path):
        with path.open("rb") as file:
            magic = file.read(6)
        what = "one array (.npy)" if magic == b"\x93NUMPY" else "not one, or cut short" if magic else "empty"
        wanted = "np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...) writes one"
        raise DataError(f"{path}: not a readable NumPy archive (it is {what}); {wanted}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                arrays[name] = archive[name]
    except Exception as error:
        at = f"array {name}: " if name else ""
        hint = (
            "; arrays of Python objects are not read: give numbers or fixed-width text"
            if "pickle" in str(error)
            else ""
        )
        raise DataError(f"{path}: not a readable NumPy archive ({at}{error}){hint}") from error
    missing = NEEDED - arrays.keys()
    if missing:
        meant = {name: other for name in missing for other in arrays if other.lower() == name}
        hint = "".join(f"; is {other} meant as {name}?" for name, other in sorted(meant.items()))
        raise DataError(
            f"{path}: lacks {', '.join(sorted(missing))}; it holds {', '.join(sorted(arrays)) or 'nothing'}{hint}"
        )
    return arrays


def _remarks(arrays: Mapping[str, np.ndarray], classes: Sequence[str]) -> Iterator[str]:
    """Yield what may not be meant of arrays that can be read."""
    types = [arrays[f"x_{part}"].dtype for part in PARTS]
    if types[0].kind != types[1].kind:
        yield f"x_train holds {types[0]}, x_test {types[1]}: are both on the scale that their type says?"
    others = sorted(name for name in arrays if name not in NEEDED | {"classes"} and not name.endswith(COLUMNS))
    if others:
        yield f"arrays that are none of x_, y_, classes and NAME_train with NAME_test are not read: {', '.join(others)}"
    if arrays["y_train"].dtype.kind in "US":
        yield from missing_remarks(classes)
