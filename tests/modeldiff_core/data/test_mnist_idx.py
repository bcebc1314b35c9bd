"""Folders of four idx files with class names of their own."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.data.mnist_idx import MnistIdx
from modeldiff_core.errors import ConfigError, DataError

CLASSES = ("tsu", "na", "ma")


def idx(array: np.ndarray) -> bytes:
    return b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def images(part: str, count: int, side: int = 9) -> np.ndarray:
    return np.random.default_rng(len(part)).integers(256, size=(count, side, side), dtype=np.uint8)


def folder(root: Path, packed: bool = False, side: int = 9) -> Path:
    for part, count in (("train", 12), ("t10k", 6)):
        labels = (np.arange(count) % 3).astype(np.uint8)
        for kind, array in (("images-idx3", images(part, count, side)), ("labels-idx1", labels)):
            raw = idx(array)
            name = f"{part}-{kind}-ubyte"
            (root / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(raw) if packed else raw)
    return root


@pytest.mark.parametrize("packed", [False, True])
def test_every_pixel_and_the_given_names(tmp_path: Path, packed: bool) -> None:
    source = MnistIdx(str(folder(tmp_path, packed)), CLASSES)
    dataset = source.load()
    assert dataset.classes == CLASSES
    np.testing.assert_array_equal(dataset.train.images[..., 0], images("train", 12))
    np.testing.assert_array_equal(dataset.test.images[..., 0], images("t10k", 6))
    assert dataset.test.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert len(source.files()) == 4
    assert MnistIdx(str(tmp_path), CLASSES, n_train=6).load().train.labels.tolist().count(2) == 2


def test_more_labels_than_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train labels: label 2 of image 2 is not in 0\.\.1"):
        MnistIdx(str(folder(tmp_path)), ("a", "b")).load()


def test_parts_of_two_sizes(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(images("t10k", 6, 8)))
    with pytest.raises(DataError, match=r"training images are \(9, 9, 1\), test images \(8, 8, 1\)"):
        MnistIdx(str(tmp_path), CLASSES).load()


def test_a_wrong_count_and_a_missing_file_are_named(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(11, np.uint8)))
    with pytest.raises(DataError, match=r"train labels: 12 images but labels of shape \(11,\)"):
        MnistIdx(str(tmp_path), CLASSES).load()
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match="holds neither t10k-images-idx3-ubyte nor"):
        MnistIdx(str(tmp_path), CLASSES).files()


@pytest.mark.parametrize("classes", [("a", "a"), ("a",), ()])
def test_names_that_do_not_tell_classes_apart(classes: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        MnistIdx(".", classes)
    assert caught.value.key == "dataset.classes"
