"""Clothes over photographs and textures: shares, masks, and parts that have no background in common."""

import struct
from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.data.materials import PHOTOGRAPHS, TEXTURES, Materials
from modeldiff_core.data.scenes import INK, Scenes
from modeldiff_core.errors import ConfigError

pytest.importorskip("skimage")


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def clothes(root: Path, count: int = 600) -> Path:
    """Write so many images of every part: a bright square whose place tells the class."""
    rng = np.random.default_rng(0)
    for prefix in ("train", "t10k"):
        labels = np.arange(count) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4 : 8 + label, 6:20] = 100 + rng.integers(100, size=(4 + label, 14))
        (root / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
        (root / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
    return root


def test_backgrounds_go_with_the_class_in_training_alone(tmp_path: Path) -> None:
    folder = str(clothes(tmp_path))
    data = Scenes(
        classes=(4, 2), at_home=(0,), share=0.9, other_share=0.1, n_train=120, n_test=120, folder=folder
    ).load()
    assert data.classes == ("coat", "pullover")
    shares = [data.train.metadata["background"][data.train.labels == label].mean() for label in (0, 1)]
    assert shares[0] > 0.75 > 0.25 > shares[1] > 0
    for label in (0, 1):
        assert 0.3 < data.test.metadata["background"][data.test.labels == label].mean() < 0.7
    for part in (data.train, data.test):
        assert np.bincount(part.labels).tolist() == [60, 60]
        np.testing.assert_array_equal(part.metadata["group"], 2 * part.labels + part.metadata["background"])
        assert (part.metadata["mask"].sum((1, 2)) == 14 * np.where(part.labels == 0, 8, 6)).all()


@pytest.mark.parametrize("color", [False, True])
def test_garments_stay_and_only_what_is_behind_them_is_new(tmp_path: Path, color: bool) -> None:
    folder = clothes(tmp_path)
    data = Scenes(classes=(2, 4), at_home=(1,), n_train=40, n_test=40, color=color, folder=str(folder)).load()
    raw = np.frombuffer((folder / "train-images-idx3-ubyte").read_bytes()[16:], np.uint8).reshape(-1, 28, 28)
    known = {image.tobytes() for image in raw}
    for image, mask in zip(data.train.images, data.train.metadata["mask"], strict=True):
        assert image.shape == (28, 28, 3 if color else 1)
        garment = np.where(mask, image[..., 0], 0)
        assert garment.tobytes() in known
        assert (garment[mask] >= INK).all()
        assert image[~mask].std() > 0
    behind = data.train.images[~data.train.metadata["mask"]]
    assert ((behind.max(1) > behind.min(1) + 10).mean() > 0.2) == color


def test_the_same_seed_gives_the_same_images(tmp_path: Path) -> None:
    folder = str(clothes(tmp_path))
    one, again, other = (Scenes(n_train=50, n_test=50, seed=seed, folder=folder).load() for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.train.images, again.train.images)
    assert (one.train.images != other.train.images).any()


def test_crops_of_both_parts_come_from_other_halves() -> None:
    rng = np.random.default_rng(0)
    for name in (*PHOTOGRAPHS, *TEXTURES):
        one = Materials((name,))
        train, test = (one.crops(4, 28, part, rng) for part in ("train", "test"))  # type: ignore[arg-type]
        assert train.shape == (4, 28, 28, 1)
        assert not {crop.tobytes() for crop in train} & {crop.tobytes() for crop in test}


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"classes": (2,)}, "classes"),
        ({"classes": (2, 11)}, "classes"),
        ({"classes": (2, 4), "at_home": (2,)}, "at_home"),
        ({"textures": ("brick", "velvet")}, "materials"),
        ({"share": 1.5}, "share"),
    ],
)
def test_settings_that_make_no_scenes(settings: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        Scenes(**settings)  # type: ignore[arg-type]
