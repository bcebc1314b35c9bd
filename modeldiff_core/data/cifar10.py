"""CIFAR-10 from a folder, in either published layout."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.expected import Expected
from modeldiff_core.data.labels import as_labels
from modeldiff_core.data.listings import source_folder
from modeldiff_core.data.pickles import read_pickle
from modeldiff_core.data.plants import Plant, planted
from modeldiff_core.data.split import chosen
from modeldiff_core.errors import ConfigError, DataError

CLASSES, PIXELS = 10, 3 * 32 * 32
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
Batch = tuple[UInt8[np.ndarray, "examples pixels"], Int[np.ndarray, " examples"]]


@dataclass(frozen=True)
class Cifar10:
    """CIFAR-10 (Krizhevsky, 2009): 50,000 + 10,000 color images of 32×32 pixels in ten classes.

    folder: cifar-10-batches-bin or cifar-10-batches-py, or the folder that holds one of them; it is not identity.
    n_train, n_test: of a stratified choice; all if not given. Both layouts give the same examples.
    """

    folder: str
    n_train: int | None = None
    n_test: int | None = None
    seed: int = 0
    plant: Plant | None = None

    def expected(self) -> Expected:
        return Expected(50_000 if self.n_train is None else self.n_train, (32, 32, 3), CLASSES)

    def files(self) -> list[Path]:
        """Every file that ``load`` reads."""
        return _layout(self.folder)[1]

    def load(self) -> Dataset:
        binary, files = _layout(self.folder)
        classes = _names_in_text(files[0]) if binary else _names_in_pickle(files[0])
        batches = [_binary_batch(path) if binary else _python_batch(path) for path in files[1:]]
        parts = []
        for part, paths, arrays, size in (
            ("train", files[1:6], batches[:5], self.n_train),
            ("test", files[6:], batches[5:], self.n_test),
        ):
            for path, (images, _) in zip(paths, arrays, strict=True):
                if len(images) != len(arrays[0][0]):
                    raise DataError(f"{path}: {len(images)} images, but {paths[0].name} has {len(arrays[0][0])}")
            labels = np.concatenate([labels for _, labels in arrays])
            planes = np.concatenate([images for images, _ in arrays]).reshape(-1, 3, 32, 32)
            examples = Examples(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels)
            parts.append(chosen(examples, size, self.seed, f"dataset.n_{part}"))
        return planted(Dataset(parts[0], parts[1], classes), self.plant)


def _layout(folder: str) -> tuple[bool, list[Path]]:
    """Return whether the files are the binary ones, and the paths of names, five training batches and test batch."""
    given = source_folder(folder)
    for root in (given, given / "cifar-10-batches-bin", given / "cifar-10-batches-py"):
        for binary, meta, suffix in ((True, "batches.meta.txt", ".bin"), (False, "batches.meta", "")):
            if (root / meta).is_file():
                files = [root / meta, *(root / f"{name}{suffix}" for name in (*TRAIN, TEST))]
                missing = [path for path in files if not path.is_file()]
                if missing:
                    raise DataError(f"{missing[0]}: no such file")
                return binary, files
    raise ConfigError("dataset.folder", "a folder with CIFAR-10's batches.meta.txt or batches.meta", folder)


def _names_in_text(path: Path) -> tuple[str, ...]:
    return _ten(tuple(_bytes(path).decode("ascii", "replace").split()), path)


def _names_in_pickle(path: Path) -> tuple[str, ...]:
    content = read_pickle(path)
    names = content.get("label_names") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: holds no list label_names")
    return _ten(tuple(names), path)


def _ten(names: tuple[str, ...], path: Path) -> tuple[str, ...]:
    if len(names) != CLASSES or len(set(names)) != CLASSES:
        raise DataError(f"{path}: names {len(names)} classes ({len(set(names))} different), {CLASSES} expected")
    return names


def _binary_batch(path: Path) -> Batch:
    """Records of a label's byte and 3,072 bytes of pixels: red, green, blue, each row by row."""
    raw = np.frombuffer(_bytes(path), np.uint8)
    if not raw.size or raw.size % (1 + PIXELS):
        raise DataError(f"{path}: {raw.size} bytes are not a whole number of records of {1 + PIXELS} bytes")
    records = raw.reshape(-1, 1 + PIXELS)
    return records[:, 1:], as_labels(records[:, 0], len(records), CLASSES, str(path))


def _python_batch(path: Path) -> Batch:
    """Read a pickled dictionary of `data`, uint8 [examples, 3072] in the order of the binary records, and `labels`."""
    content = read_pickle(path)
    if not isinstance(content, dict) or not {"data", "labels"} <= content.keys():
        raise DataError(f"{path}: not a dictionary with data and labels")
    images, labels = content["data"], content["labels"]
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (PIXELS,):
        got = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise DataError(f"{path}: data must be uint8 [examples, {PIXELS}], got {got}")
    if not isinstance(labels, list):
        raise DataError(f"{path}: labels must be a list of integers, got {type(labels).__name__}")
    return images, as_labels(np.array(labels), len(images), CLASSES, str(path))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
