"""Examples and data sets in memory: checks on pixels and labels, selection, fingerprints."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.labels import as_labels
from modeldiff_core.data.pixels import as_pixels
from modeldiff_core.errors import DataError


def examples(count: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    images = rng.integers(256, size=(count, 4, 5, 3), dtype=np.uint8)
    return Examples(images, rng.integers(3, size=count), {"planted": rng.random(count) < 0.5})


def dataset() -> Dataset:
    return Dataset(examples(6, 0), examples(4, 1), ("a", "b", "c"))


def test_select_keeps_images_labels_and_metadata_together() -> None:
    whole = examples(8, 2)
    index = np.array([5, 0, 5])
    part = whole.select(index)
    assert len(part) == 3
    np.testing.assert_array_equal(part.images, whole.images[[5, 0, 5]])
    np.testing.assert_array_equal(part.labels, whole.labels[[5, 0, 5]])
    np.testing.assert_array_equal(part.metadata["planted"], whole.metadata["planted"][[5, 0, 5]])


def test_the_first_examples_keep_everything_and_their_beton() -> None:
    whole = replace(examples(8, 2), beton="some.beton")
    part = whole.first(3)
    assert (len(part), part.beton) == (3, "some.beton")
    np.testing.assert_array_equal(part.images, whole.images[:3])
    np.testing.assert_array_equal(part.labels, whole.labels[:3])
    np.testing.assert_array_equal(part.metadata["planted"], whole.metadata["planted"][:3])
    assert whole.select(np.arange(3)).beton is None


def test_image_shape() -> None:
    assert dataset().image_shape == (4, 5, 3)


def changed(array: np.ndarray) -> np.ndarray:
    """A copy with one value that is another."""
    out = array.copy()
    out.flat[-1] = not out.flat[-1]
    return out


CHANGES: dict[str, Callable[[Dataset], Dataset]] = {
    "train pixel": lambda d: replace(d, train=replace(d.train, images=changed(d.train.images))),
    "test pixel": lambda d: replace(d, test=replace(d.test, images=changed(d.test.images))),
    "train label": lambda d: replace(d, train=replace(d.train, labels=changed(d.train.labels))),
    "test label": lambda d: replace(d, test=replace(d.test, labels=changed(d.test.labels))),
    "metadata value": lambda d: replace(
        d, test=replace(d.test, metadata={"planted": changed(d.test.metadata["planted"])})
    ),
    "metadata name": lambda d: replace(d, test=replace(d.test, metadata={"other": d.test.metadata["planted"]})),
    "no metadata": lambda d: replace(d, train=replace(d.train, metadata={})),
    "class name": lambda d: replace(d, classes=("a", "b", "d")),
    "class names joined elsewhere": lambda d: replace(d, classes=("a", "bc")),
    "order": lambda d: replace(d, train=d.train.select(np.array([1, 0, 2, 3, 4, 5]))),
    "an example more": lambda d: replace(d, train=d.train.select(np.array([0, 1, 2, 3, 4, 5, 5]))),
    "image shape": lambda d: replace(d, train=replace(d.train, images=d.train.images.reshape(6, 5, 4, 3))),
    "parts exchanged": lambda d: replace(d, train=d.test, test=d.train),
}


@pytest.mark.parametrize("name", CHANGES)
def test_fingerprint_sees_every_change(name: str) -> None:
    assert CHANGES[name](dataset()).fingerprint != dataset().fingerprint


def test_fingerprint_sees_values_only() -> None:
    d = dataset()
    assert d.fingerprint == dataset().fingerprint
    strided = np.repeat(d.train.images, 2, axis=0)[::2]
    assert not strided.flags["C_CONTIGUOUS"]
    small = replace(d, train=Examples(strided, d.train.labels.astype(np.int32), dict(d.train.metadata)))
    assert small.fingerprint == d.fingerprint


def test_a_data_set_is_hashed_once_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    sha256 = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda *args: made.append(1) or sha256(*args))
    d = dataset()
    assert made == []
    assert len({d.fingerprint for _ in range(5)}) == 1
    assert len(made) == 1
    assert replace(d, classes=("a", "b", "d")).fingerprint != d.fingerprint
    assert len(made) == 2, "another data set has a digest of its own"


def test_a_column_of_objects_has_no_fingerprint() -> None:
    d = dataset()
    names = np.array(["x", "y", "x", "y"])
    assert replace(d, test=replace(d.test, metadata={"place": names})).fingerprint != d.fingerprint
    with pytest.raises(DataError, match="metadata 'place'"):
        _ = replace(d, test=replace(d.test, metadata={"place": names.astype(object)})).fingerprint


def test_pixels_as_bytes_and_as_floats_are_alike() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    as_bytes = as_pixels(images, "x")
    assert as_bytes.shape == (4, 8, 8, 1)
    np.testing.assert_array_equal(as_bytes[..., 0], images)
    for kind in (np.float32, np.float64):
        np.testing.assert_array_equal(as_pixels((images / 255).astype(kind), "x"), as_bytes)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_image_that_is_not_finite_is_named(bad: float) -> None:
    images = np.zeros((5, 4, 4, 1))
    images[3, 2, 1, 0] = images[4, 0, 0, 0] = bad
    with pytest.raises(DataError, match=r"here: image 3 holds NaN or infinite pixels"):
        as_pixels(images, "here")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((5, 4)), r"got shape \(5, 4\)"),
        (np.zeros((5, 4, 4), np.int64), "got int64"),
        (np.full((5, 4, 4), 1.5), r"0\.\.1, got 1\.5\.\.1\.5"),
        (np.full((5, 4, 4), -0.5), r"0\.\.1, got -0\.5\.\.-0\.5"),
    ],
)
def test_pixels_out_of_range_or_shape_are_refused(images: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_pixels(images, "x")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1]), r"3 images but labels of shape \(2,\)"),
        (np.array([[0], [1], [2]]), r"labels of shape \(3, 1\)"),
        (np.array([0.0, 1.0, 2.0]), "must be integers, got float64"),
        (np.array([0, 3, 4]), r"label 3 of image 1 is not in 0\.\.2"),
        (np.array([0, 1, -1]), r"label -1 of image 2 is not in 0\.\.2"),
    ],
)
def test_wrong_labels_are_refused(labels: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_labels(labels, 3, 3, "x")


def test_labels_of_any_integer_type_become_int64() -> None:
    labels = as_labels(np.array([2, 0, 1], np.uint8), 3, 3, "x")
    assert labels.dtype == np.int64
    assert labels.tolist() == [2, 0, 1]
