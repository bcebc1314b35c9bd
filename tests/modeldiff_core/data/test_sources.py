"""The sources that ship: digits, a NumPy archive, Fashion-MNIST."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from modeldiff_core.data import SOURCES, Plant, Source, Watermark
from modeldiff_core.data.digits import Digits
from modeldiff_core.data.fashion_mnist import FASHION_DEBIAN, FashionMnist
from modeldiff_core.data.npz import Npz
from modeldiff_core.errors import ConfigError, DataError


def test_sources_are_found_by_name() -> None:
    assert SOURCES.get("digits") is Digits
    assert isinstance(Digits(), Source)
    with pytest.raises(ConfigError, match=r"dataset\.kind: expected one of .*digits.*npz.*, got 'cifar'"):
        SOURCES.get("cifar")


def test_digits_are_those_of_scikit_learn() -> None:
    dataset = Digits(n_train=300, n_test=200, seed=1).load()
    assert (len(dataset.train), len(dataset.test)) == (300, 200)
    assert dataset.image_shape == (8, 8, 1)
    assert dataset.classes == tuple("0123456789")
    bunch = load_digits()
    originals = {image.tobytes(): int(label) for image, label in zip(bunch.images, bunch.target, strict=True)}
    for part in (dataset.train, dataset.test):
        levels = np.round(part.images[..., 0] * (16 / 255))
        assert levels.max() == 16
        assert [originals[image.tobytes()] for image in levels] == part.labels.tolist()
        assert np.abs(np.bincount(part.labels) - len(part) * np.bincount(bunch.target) / 1797).max() < 3


def test_digits_train_and_test_share_no_example_and_follow_the_seed() -> None:
    whole = Digits().load()
    assert len(whole.train) + len(whole.test) == 1797
    levels = np.concatenate([whole.train.images, whole.test.images])
    everything = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    np.testing.assert_array_equal(np.sort(levels.reshape(1797, -1), 0), np.sort(everything.reshape(1797, -1), 0))
    assert Digits(100, 100, 3).load().fingerprint == Digits(100, 100, 3).load().fingerprint
    assert Digits(100, 100, 3).load().fingerprint != Digits(100, 100, 4).load().fingerprint


def test_digits_with_a_plant() -> None:
    dataset = Digits(200, 100, plant=Plant(8, 0.5, Watermark(0, 0, 2, 2))).load()
    marked = dataset.train.metadata["planted"]
    assert marked.sum() == round((dataset.train.labels == 8).sum() / 2)
    assert (dataset.train.images[marked, :2, :2, 0] == [[255, 0], [0, 255]]).all()


def test_more_digits_than_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        Digits(n_train=1000, n_test=900).load()
    assert caught.value.key == "dataset.n_test"
    assert "797" in caught.value.expected


def arrays(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(256, size=(30, 4, 4, 3), dtype=np.uint8),
        "y_train": np.arange(30) % 3,
        "x_test": rng.integers(256, size=(12, 4, 4, 3), dtype=np.uint8),
        "y_test": np.arange(12) % 3,
    } | changes


def archive(folder: Path, **changes: Any) -> str:
    path = folder / "data.npz"
    np.savez(path, **{name: value for name, value in arrays(**changes).items() if value is not None})
    return str(path)


def test_npz_whole_and_in_part(tmp_path: Path) -> None:
    path = archive(tmp_path)
    whole = Npz(path).load()
    np.testing.assert_array_equal(whole.train.images, arrays()["x_train"])
    np.testing.assert_array_equal(whole.test.labels, arrays()["y_test"])
    assert whole.classes == ("0", "1", "2")
    part = Npz(path, n_train=12, n_test=6).load()
    assert np.bincount(part.train.labels).tolist() == [4, 4, 4]
    known = {image.tobytes(): label for image, label in zip(whole.train.images, whole.train.labels, strict=True)}
    assert [known[image.tobytes()] for image in part.train.images] == part.train.labels.tolist()


def test_npz_gray_floats_and_class_names(tmp_path: Path) -> None:
    gray = {
        name: np.linspace(0, 1, count * 16).reshape(count, 4, 4) for name, count in (("x_train", 30), ("x_test", 12))
    }
    dataset = Npz(archive(tmp_path, **gray, classes=np.array(["cat", "dog", "newt", "owl"]))).load()
    assert dataset.image_shape == (4, 4, 1)
    assert dataset.classes == ("cat", "dog", "newt", "owl")
    np.testing.assert_array_equal(dataset.train.images[..., 0], np.round(gray["x_train"] * 255))


def test_npz_carries_metadata_and_masks_along(tmp_path: Path) -> None:
    columns = {
        "place_train": np.arange(30) % 2,
        "place_test": np.arange(12) % 2,
        "mask_train": np.indices((30, 4, 4))[0] > 14,
        "mask_test": np.indices((12, 4, 4))[1] > 1,
    }
    part = Npz(archive(tmp_path, **columns), n_train=12, n_test=6).load()
    whole = Npz(archive(tmp_path, **columns)).load()
    assert sorted(whole.train.metadata) == ["mask", "place"]
    np.testing.assert_array_equal(whole.test.metadata["mask"], columns["mask_test"])
    position = [int(np.flatnonzero((whole.train.images == image).all((1, 2, 3)))[0]) for image in part.train.images]
    np.testing.assert_array_equal(part.train.metadata["place"], columns["place_train"][position])
    np.testing.assert_array_equal(part.train.metadata["mask"], columns["mask_train"][position])
    assert whole.fingerprint != Npz(archive(tmp_path)).load().fingerprint


NAN = np.zeros((12, 4, 4))
NAN[7, 1, 2] = np.nan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": NAN}, "x_test: image 7 holds NaN"),
        ({"x_train": np.zeros((30, 4, 4), np.int32)}, "x_train: images must be uint8"),
        ({"y_train": np.arange(29) % 3}, "y_train: 30 images but labels of shape"),
        ({"y_train": np.arange(30) % 3 - 1}, "y_train: label -1 of image 0"),
        ({"y_train": (np.arange(30) % 3).astype(float)}, "y_train: labels must be integers"),
        ({"y_test": np.full(12, np.nan)}, "y_test: labels must be integers"),
        ({"y_test": np.array(["a"] * 12)}, "y_test: labels must be integers"),
        ({"classes": np.array(["a", "b"])}, r"y_train: label 2 of image 2 is not in 0\.\.1"),
        ({"x_test": np.zeros((12, 5, 4, 3), np.uint8)}, r"training images are \(4, 4, 3\), test images \(5, 4, 3\)"),
        ({"x_test": None, "y_test": None}, "lacks x_test, y_test; it holds x_train, y_train"),
        ({"place_train": np.zeros(30)}, "metadata place_test is missing"),
        ({"place_train": np.zeros(29), "place_test": np.zeros(12)}, r"metadata place_train is of shape \(29,\)"),
        ({"y_train": np.array([{"a": 1}] * 30, object)}, "not a readable NumPy archive .*pickle"),
    ],
)
def test_npz_with_wrong_content_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Npz(archive(tmp_path, **changes)).load()


def test_npz_cut_short_or_not_an_archive(tmp_path: Path) -> None:
    path = Path(archive(tmp_path))
    raw = path.read_bytes()
    single = tmp_path / "single.npy"
    np.save(single, np.zeros(3))
    for content in (raw[: len(raw) // 2], raw[:-10], b"", b"text", single.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a readable NumPy archive"):
            Npz(str(path)).load()


def test_npz_that_is_missing_or_too_small(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Npz(str(tmp_path / "absent.npz")).load()
    assert caught.value.key == "dataset.path"
    with pytest.raises(ConfigError) as caught:
        Npz(archive(tmp_path), n_test=13).load()
    assert caught.value.key == "dataset.n_test"


def fashion(folder: Path, packed: bool = True) -> str:
    """A folder like Fashion-MNIST's with 40 + 20 images of 28×28, image i filled with the value i."""
    for prefix, count in (("train", 40), ("t10k", 20)):
        pixels = np.repeat(np.arange(count, dtype=np.uint8), 28 * 28).tobytes()
        images = b"\x00\x00\x08\x03" + struct.pack(">III", count, 28, 28) + pixels
        labels = b"\x00\x00\x08\x01" + struct.pack(">I", count) + bytes(i % 10 for i in range(count))
        for kind, raw in (("images-idx3", images), ("labels-idx1", labels)):
            name = f"{prefix}-{kind}-ubyte"
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(raw) if packed else raw)
    return str(folder)


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_from_a_folder(tmp_path: Path, packed: bool) -> None:
    dataset = FashionMnist(n_train=20, n_test=10, folder=fashion(tmp_path, packed)).load()
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.classes[6] == "shirt"
    for part, each in ((dataset.train, 2), (dataset.test, 1)):
        values = part.images[:, 0, 0, 0]
        assert (part.images == values[:, None, None, None]).all()
        assert (values % 10 == part.labels).all()
        assert len(set(values)) == len(values)
        assert np.bincount(part.labels, minlength=10).tolist() == [each] * 10


def test_fashion_mnist_asked_for_too_many(tmp_path: Path) -> None:
    folder = fashion(tmp_path)
    for sizes, key in (((41, 10), "dataset.n_train"), ((10, 21), "dataset.n_test")):
        with pytest.raises(ConfigError) as caught:
            FashionMnist(*sizes, folder=folder).load()
        assert caught.value.key == key


def test_fashion_mnist_with_missing_or_mixed_files(tmp_path: Path) -> None:
    folder = Path(fashion(tmp_path))
    labels = folder / "t10k-labels-idx1-ubyte.gz"
    raw = labels.read_bytes()
    labels.unlink()
    with pytest.raises(DataError, match=r"holds neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte\.gz"):
        FashionMnist(20, 10, folder=str(folder)).load()
    labels.write_bytes(gzip.compress(gzip.decompress(raw)[:-1]))
    with pytest.raises(DataError, match="bytes promised"):
        FashionMnist(20, 10, folder=str(folder)).load()
    labels.write_bytes((folder / "train-labels-idx1-ubyte.gz").read_bytes())
    with pytest.raises(DataError, match=r"t10k labels: 20 images but labels of shape \(40,\)"):
        FashionMnist(20, 10, folder=str(folder)).load()


def test_fashion_mnist_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        FashionMnist(folder=str(tmp_path / "absent")).load()
    assert caught.value.key == "dataset.folder"


@pytest.mark.skipif(not FASHION_DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_of_debian() -> None:
    dataset = FashionMnist(n_train=1000, n_test=500, seed=2).load()
    assert (len(dataset.train), len(dataset.test)) == (1000, 500)
    assert np.abs(np.bincount(dataset.train.labels) - 100).max() <= 2
    assert np.abs(np.bincount(dataset.test.labels) - 50).max() <= 2
    assert 60 < dataset.train.images.mean() < 85, "the published mean is 72.9"
    trousers, bags = (dataset.train.images[dataset.train.labels == label].mean(0) for label in (1, 8))
    assert trousers[20, 14, 0] < 0.5 * bags[20, 14, 0], "trousers have a gap between the legs"
