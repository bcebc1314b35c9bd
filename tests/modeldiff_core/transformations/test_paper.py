"""The paper's six transformations: exact sizes and places, and what random draws depend on."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.transformations import TransformationTest, build, build_on
from modeldiff_core.transformations.backgrounds import Background
from modeldiff_core.transformations.library import on_examples
from modeldiff_core.transformations.paper import (
    IMAGENET_MEAN,
    BlackWhiteTexture,
    Face,
    PolkaDots,
    Rectangle,
    SpiderWeb,
    YellowSquare,
)

RNG = np.random.default_rng(0)


def gray(height: int, width: int, value: int = 100, n: int = 2) -> np.ndarray:
    """Images that differ in one pixel, so that each has draws of its own."""
    images = np.full((n, height, width, 3), value, dtype=np.uint8)
    images[np.arange(n), 0, np.arange(n)] += 1
    return images


def changed(before: np.ndarray, after: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns that hold every change."""
    moved = (before != after).any(axis=(0, 3))
    rows, columns = np.flatnonzero(moved.any(1)), np.flatnonzero(moved.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def test_the_yellow_square_has_its_place_and_grows_with_the_image() -> None:
    images = gray(224, 224)
    after = YellowSquare()(images, 1.0)
    assert changed(images, after) == (slice(30, 55), slice(100, 125))
    assert (after[:, 30:55, 100:125] == (255, 255, 0)).all()
    large = gray(448, 224)
    assert changed(large, YellowSquare()(large, 1.0)) == (slice(60, 110), slice(100, 125))
    with pytest.raises(ConfigError, match="in color"):
        YellowSquare().check((224, 224, 1))


@pytest.mark.parametrize("size", [4, 5, 6])
def test_the_black_and_white_texture(size: int) -> None:
    images = gray(32, 32)
    after = BlackWhiteTexture(size)(images, 1.0)
    assert changed(images, after) == (slice(4, 4 + size), slice(13, 17))
    expected = np.full((size, 4), 255)
    expected[size - 3 :, 1] = expected[size - 3 :, 2] = 0
    np.testing.assert_array_equal(after[0, 4 : 4 + size, 13:17, 1], expected)


def test_the_rectangle_is_a_window_of_two_panes() -> None:
    images = gray(32, 32)
    after = Rectangle(6)(images, 1.0)
    assert changed(images, after) == (slice(4, 10), slice(13, 18))
    rows = ["#####", "#.#.#", "#.#.#", "#.#.#", "#.#.#", "#####"]
    expected = np.array([[255 * (c == "#") for c in row] for row in rows])
    np.testing.assert_array_equal(after[1, 4:10, 13:18, 2], expected)


def test_marks_grow_in_whole_cells() -> None:
    images = gray(64, 96)
    after = Rectangle(6)(images, 1.0)
    assert changed(images, after) == (slice(8, 20), slice(39, 49))
    small = gray(32, 32)
    np.testing.assert_array_equal(after[0, 8:20:2, 39:49:2], Rectangle(6)(small, 1.0)[0, 4:10, 13:18])


@pytest.mark.parametrize("kind", [SpiderWeb, PolkaDots])
def test_a_pattern_lightens_and_darkens_by_delta_times_its_distance_from_the_mean(
    kind: type[SpiderWeb] | type[PolkaDots],
) -> None:
    images = gray(48, 64)
    after = kind(0.4)(images, 0.5).astype(float) - images
    for channel, mean in enumerate(IMAGENET_MEAN):
        dark, light = (255 * 0.2 * (value - mean) for value in (0, 1))
        values = after[..., channel]
        assert np.abs(values - dark).min() <= 0.5
        assert np.abs(values - light).min() <= 0.5
        assert values.min() >= dark - 0.51
        assert values.max() <= light + 0.51
    dense = (after[0, ..., 0] > 0).mean()
    assert 0.02 < dense < 0.6


def test_a_crop_depends_on_seed_and_image_alone() -> None:
    images = RNG.integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    together = SpiderWeb(0.5, seed=1)(images, 1.0)
    for n in (4, 0, 2):
        np.testing.assert_array_equal(SpiderWeb(0.5, seed=1)(images[n : n + 1], 1.0)[0], together[n])
    flat = np.full((2, 40, 40, 3), 128, dtype=np.uint8)
    flat[1, 0, 0] = 129
    first, second = SpiderWeb(0.5, seed=1)(flat, 1.0)
    assert (first != second).mean() > 0.02, "another image, another crop"
    assert (SpiderWeb(0.5, seed=2)(flat, 1.0)[0] != first).mean() > 0.02, "another seed, another crop"


@pytest.fixture
def face(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "face.png"
    Image.fromarray(np.full((30, 20, 3), (200, 100, 50), dtype=np.uint8)).save(path)
    return {"picture": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_face_has_its_size_brightness_and_place(face: dict[str, str]) -> None:
    images = gray(224, 224, n=20)
    after = Face(**face)(images, 1.0)
    corners = []
    for before, one in zip(images, after, strict=True):
        rows, columns = changed(before[None], one[None])
        assert rows.stop - rows.start == columns.stop - columns.start == 100
        assert (one[rows, columns] == (240, 120, 60)).all()
        corners.append((rows.start, columns.start))
    # From int(0.1 · 224) to int(0.9 · 224) − 100, mostly at the ends.
    places = np.array(corners).ravel()
    assert places.min() >= 22
    assert places.max() <= 101
    assert (np.minimum(places - 22, 101 - places) < 20).mean() > 0.7
    assert len(set(corners)) > 5


def test_objects_stay_in_front_of_face_and_background(face: dict[str, str]) -> None:
    images = gray(56, 56, n=6)
    masks = np.zeros((6, 56, 56), dtype=bool)
    masks[:, 10:40, 15:45] = True
    examples = Examples(images, np.zeros(6, dtype=np.int64), {"mask": masks})
    in_front = Face(**face)(images, 1.0)
    test = TransformationTest("f", "face", parameters={**face, "mask": "mask"})
    after = build_on(test, examples)(images, 1.0)
    hidden = (in_front != images).any(3) & masks
    assert hidden.sum() > 100, "without the mask the face covers objects"
    np.testing.assert_array_equal(after[masks], images[masks])
    np.testing.assert_array_equal(after[~masks], in_front[~masks])
    plain = on_examples(Background((10, 20, 30)), examples)(images, 0.5)
    np.testing.assert_array_equal(plain[masks], images[masks])
    half = np.rint((images[~masks].astype(float) + np.array([10, 20, 30])) / 2)
    np.testing.assert_array_equal(plain[~masks], half)
    pictured = on_examples(Background(**face), examples)(images, 1.0)
    assert (pictured[~masks] == (200, 100, 50)).all()


def test_masks_and_files_that_are_not_there(face: dict[str, str]) -> None:
    images = gray(56, 56)
    examples = Examples(images, np.zeros(2, dtype=np.int64), {"place": np.zeros(2)})
    for column in ("mask", "place"):
        with pytest.raises(ConfigError, match="a metadata column of masks"):
            on_examples(Background(mask=column), examples)
    with pytest.raises(ConfigError, match="says where the object is"):
        Background()(images, 1.0)
    masked = Examples(images, examples.labels, {"mask": np.ones((2, 56, 56), dtype=bool)})
    with pytest.raises(ConfigError, match="the 2 images that the masks are of"):
        on_examples(Background(), masked)(images[:1], 1.0)
    for wrong, field in (({"picture": "nowhere.png"}, "picture"), ({"sha256": "0" * 64}, "sha256")):
        test = TransformationTest("f", "face", parameters={**face, **wrong})
        with pytest.raises(ConfigError) as caught:
            build(test, (224, 224, 3))
        assert caught.value.key == f"transformations.f.parameters.{field}"
    with pytest.raises(ConfigError, match="a face of 1 to 7 pixels") as caught:
        build(TransformationTest("f", "face", parameters={**face, "size": 224}), (8, 8, 3))
    assert caught.value.key == "transformations.f.parameters.size"
