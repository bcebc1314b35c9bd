"""CIFAR-10 in both published layouts, written here record by record and opcode by opcode."""

import os
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from modeldiff_core.data import Plant, Watermark
from modeldiff_core.data.cifar10 import Cifar10
from modeldiff_core.data.pickles import read_pickle
from modeldiff_core.errors import ConfigError, DataError

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
EACH = 20


def batch(number: int) -> tuple[np.ndarray, list[int]]:
    """Planes [examples, 3072] and labels of one batch."""
    rng = np.random.default_rng(number)
    return rng.integers(256, size=(EACH, 3072), dtype=np.uint8), rng.permutation(np.arange(EACH) % 10).tolist()


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2 and the NumPy of its time wrote: byte strings, and functions in numpy.core.multiarray."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self, text: bytes | str) -> None:
        raw = text if isinstance(text, bytes) else text.encode("latin1")
        short = len(raw) < 256
        self.write((b"U" + bytes([len(raw)]) if short else b"T" + struct.pack("<i", len(raw))) + raw)
        self.memoize(text)

    dispatch[bytes] = save_string
    dispatch[str] = save_string

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if getattr(obj, "__name__", "") == "_reconstruct":
            self.write(b"cnumpy.core.multiarray\n_reconstruct\n")
            self.memoize(obj)
        else:
            super().save_global(obj, name)

    dispatch[type] = save_global


def python2_pickle(path: Path, content: object) -> None:
    with path.open("wb") as file:
        Python2Pickler(file, protocol=2).dump(content)


def python_folder(folder: Path) -> Path:
    root = folder / "cifar-10-batches-py"
    root.mkdir()
    for number, name in enumerate(BATCHES):
        planes, labels = batch(number)
        files = [f"{index}.png" for index in range(EACH)]
        python2_pickle(
            root / name, {"batch_label": f"{name} of 5", "labels": labels, "data": planes, "filenames": files}
        )
    python2_pickle(root / "batches.meta", {"num_cases_per_batch": EACH, "label_names": NAMES, "num_vis": 3072})
    return root


def binary_folder(folder: Path) -> Path:
    root = folder / "cifar-10-batches-bin"
    root.mkdir()
    for number, name in enumerate(BATCHES):
        planes, labels = batch(number)
        (root / f"{name}.bin").write_bytes(
            b"".join(bytes([label]) + plane.tobytes() for label, plane in zip(labels, planes, strict=True))
        )
    (root / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return root


def test_a_binary_folder_gives_every_pixel_in_order(tmp_path: Path) -> None:
    dataset = Cifar10(str(binary_folder(tmp_path))).load()
    assert dataset.classes == tuple(NAMES)
    assert (len(dataset.train), len(dataset.test)) == (5 * EACH, EACH)
    assert dataset.image_shape == (32, 32, 3)
    for number in range(6):
        planes, labels = batch(number)
        part = dataset.test if number == 5 else dataset.train.select(np.arange(number * EACH, (number + 1) * EACH))
        assert part.labels.tolist() == labels
        for example, row, column, channel in [(0, 0, 0, 0), (3, 0, 31, 1), (7, 31, 0, 2), (19, 17, 5, 1)]:
            assert part.images[example, row, column, channel] == planes[example, channel * 1024 + row * 32 + column]
        np.testing.assert_array_equal(np.sort(part.images.reshape(EACH, -1)), np.sort(planes))


def test_both_layouts_give_the_same_examples_from_the_folder_or_its_parent(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "p").mkdir()
    folders = [binary_folder(tmp_path / "b"), tmp_path / "b", python_folder(tmp_path / "p"), tmp_path / "p"]
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in (folders[2] / "test_batch").read_bytes()
    assert len({Cifar10(str(folder)).load().fingerprint for folder in folders}) == 1
    for folder in folders:
        assert [path.name.removesuffix(".bin") for path in Cifar10(str(folder)).files()[1:]] == BATCHES


def test_a_part_with_a_plant(tmp_path: Path) -> None:
    whole = Cifar10(str(binary_folder(tmp_path))).load()
    part = Cifar10(str(tmp_path), n_train=50, n_test=10, plant=Plant(3, 1.0, Watermark(0, 0, 4, 4))).load()
    assert np.bincount(part.train.labels).tolist() == [5] * 10
    assert np.bincount(part.test.labels).tolist() == [1] * 10
    np.testing.assert_array_equal(part.train.metadata["planted"], part.train.labels == 3)
    known = {image[8:].tobytes(): label for image, label in zip(whole.train.images, whole.train.labels, strict=True)}
    assert [known[image[8:].tobytes()] for image in part.train.images] == part.train.labels.tolist()
    with pytest.raises(ConfigError) as caught:
        Cifar10(str(tmp_path), n_test=EACH + 1).load()
    assert caught.value.key == "dataset.n_test"


def test_binary_files_at_fault_are_named(tmp_path: Path) -> None:
    root = binary_folder(tmp_path)

    def refused(name: str, raw: bytes, message: str) -> None:
        whole = (root / name).read_bytes()
        (root / name).write_bytes(raw)
        with pytest.raises(DataError, match=message):
            Cifar10(str(root)).load()
        (root / name).write_bytes(whole)

    whole = (root / "data_batch_3.bin").read_bytes()
    refused("data_batch_3.bin", whole[:-1], r"data_batch_3\.bin: 61459 bytes are not a whole number of records")
    refused("data_batch_3.bin", b"", r"data_batch_3\.bin: 0 bytes")
    refused("data_batch_3.bin", whole[:-3073], r"data_batch_3\.bin: 19 images, but data_batch_1\.bin has 20")
    wrong = bytearray(whole)
    wrong[4 * 3073] = 10
    refused("data_batch_3.bin", bytes(wrong), r"data_batch_3\.bin: label 10 of image 4 is not in 0\.\.9")
    refused("batches.meta.txt", b"cat\ndog\n", r"batches\.meta\.txt: names 2 classes \(2 different\), 10 expected")
    (root / "data_batch_2.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_2\.bin: no such file"):
        Cifar10(str(root)).load()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [10] * EACH}, r"label 10 of image 0 is not in 0\.\.9"),
        ({"labels": [0] * (EACH - 1)}, r"20 images but labels of shape \(19,\)"),
        ({"labels": [2**80] * EACH}, "labels must be integers, got object"),
        ({"labels": ["cat"] * EACH}, "labels must be integers"),
        ({"labels": "cat"}, "labels must be a list of integers, got str"),
        ({"data": np.zeros((EACH, 3071), np.uint8)}, r"uint8 \[examples, 3072\], got uint8 \(20, 3071\)"),
        ({"data": np.zeros((EACH, 3072), np.float32)}, r"uint8 \[examples, 3072\], got float32"),
        ({"data": [1, 2]}, "got list"),
    ],
)
def test_python_batches_at_fault_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    root = python_folder(tmp_path)
    planes, labels = batch(2)
    python2_pickle(root / "data_batch_3", {"data": planes, "labels": labels, **changes})
    with pytest.raises(DataError, match=f"data_batch_3: .*{message}"):
        Cifar10(str(root)).load()


def test_python_files_without_their_keys_are_named(tmp_path: Path) -> None:
    root = python_folder(tmp_path)
    python2_pickle(root / "data_batch_3", {"data": batch(2)[0]})
    with pytest.raises(DataError, match="data_batch_3: not a dictionary with data and labels"):
        Cifar10(str(root)).load()
    python2_pickle(root / "batches.meta", {"label_names": [1, 2]})
    with pytest.raises(DataError, match=r"batches\.meta: holds no list label_names"):
        Cifar10(str(root)).load()


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    root, target = python_folder(tmp_path), tmp_path / "target"
    planes, labels = batch(0)
    python2_pickle(root / "data_batch_1", {"data": planes, "labels": labels, "extra": Malicious(target)})
    pickle.loads((root / "data_batch_1").read_bytes(), encoding="latin1")
    assert target.is_dir(), "the pickle does what it should not"
    target.rmdir()
    with pytest.raises(DataError, match=r"data_batch_1: .*asks for posix\.mkdir, .*; nothing of it was run"):
        Cifar10(str(root)).load()
    assert not target.exists()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"cos\nsystem\n(S'echo'\ntR.", "asks for os.system"),
        (b"cnumpy\nload\n(S'x'\ntR.", "asks for numpy.load"),
        (b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.", "_reconstruct.__globals__"),
        (b"c__builtin__\neval\n(S'1'\ntR.", "eval"),
        (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
        (b"Pname\n.", "persistent"),
        (b"\x80\x02\x82\x01.", "unregistered extension"),
        (b"", "EOFError"),
        (b"\x80\x02}q", "Error"),
        (b"not a pickle", "Error"),
    ],
)
def test_other_pickles_are_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "bad").write_bytes(raw)
    with pytest.raises(DataError, match=f"bad: not a pickle of arrays and text .*{message}"):
        read_pickle(tmp_path / "bad")


def test_arrays_of_todays_numpy_are_read_too(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    (tmp_path / "new").write_bytes(pickle.dumps({"data": array, "labels": [1, 2]}, protocol=4))
    content = read_pickle(tmp_path / "new")
    assert isinstance(content, dict)
    np.testing.assert_array_equal(content["data"], array)
    assert content["labels"] == [1, 2]


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigError) as caught:
            Cifar10(str(folder)).load()
        assert caught.value.key == "dataset.folder"
