"""The paper's six transformations against plain references, one pixel after the other, as its public code has them."""

import hashlib
from math import exp, log, sqrt
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modeldiff_core.images import generator_of, polka_dots, web
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
TRIES = 10


def crop_of(draws: np.ndarray, height: int, width: int, largest: float) -> tuple[int, int, int, int]:
    """torchvision's RandomResizedCrop with these uniform draws: top, left, rows, columns."""
    for number in range(TRIES):
        area = height * width * (0.08 + draws[2 * number] * (largest - 0.08))
        aspect = exp(log(3 / 4) + draws[2 * number + 1] * (log(4 / 3) - log(3 / 4)))
        columns, rows = round(sqrt(area * aspect)), round(sqrt(area / aspect))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = (int(draws[2 * TRIES + i] * n) for i, n in enumerate((height - rows + 1, width - columns + 1)))
            return top, left, rows, columns
    raise AssertionError("no crop fits, which these draws do not do")


def resized(picture: np.ndarray, crop: tuple[int, int, int, int], row: int, column: int) -> float:
    """One pixel of the crop, stretched to the picture's own size with bilinear weights and half-pixel centers."""
    value, (top, left, rows, columns), (height, width) = 0.0, crop, picture.shape
    y = min(max((row + 0.5) * rows / height - 0.5, 0), rows - 1)
    x = min(max((column + 0.5) * columns / width - 0.5, 0), columns - 1)
    for i, v in ((int(y), 1 - y % 1), (min(int(y) + 1, rows - 1), y % 1)):
        for j, h in ((int(x), 1 - x % 1), (min(int(x) + 1, columns - 1), x % 1)):
            value += v * h * picture[top + i, left + j]
    return value


def normalized_sum(pixel: int, pattern: float, delta: float, channel: int) -> float:
    """The public code's way: both normalized, added, brought back, clipped to 0..1."""
    mean, deviation = IMAGENET_MEAN[channel], (0.229, 0.224, 0.225)[channel]
    added = (pixel / 255 - mean) / deviation + delta * (pattern - mean) / deviation
    return 255 * min(max(added * deviation + mean, 0.0), 1.0)


@pytest.mark.parametrize(("kind", "largest", "delta"), [(SpiderWeb, 1.0, 0.5), (PolkaDots, 0.5, 0.3)])
def test_patterns_are_added_as_the_public_code_adds_them(
    kind: type[SpiderWeb] | type[PolkaDots], largest: float, delta: float
) -> None:
    images = RNG.integers(0, 256, (3, 24, 20, 3), dtype=np.uint8)
    after = kind(delta, seed=3)(images, 1.0)
    drawn = web(24, 20) > 0.45 if kind is SpiderWeb else np.round(polka_dots(24, 20, 3))
    picture = np.asarray(drawn, dtype=float)
    assert 0.05 < picture.mean() < 0.95
    expected = np.empty(images.shape)
    for n, image in enumerate(images):
        crop = crop_of(generator_of(image, "pattern crop", 3).random(2 * TRIES + 2), 24, 20, largest)
        for row in range(24):
            for column in range(20):
                pattern = resized(picture, crop, row, column)
                for channel in range(3):
                    expected[n, row, column, channel] = normalized_sum(
                        image[row, column, channel], pattern, delta, channel
                    )
    assert np.abs(after - expected).max() <= 0.501, "the nearest byte, up to the rounding of float32"
    assert np.abs(after.astype(int) - images).mean() > 5


@pytest.mark.parametrize("size", [4, 5, 6])
def test_every_pixel_of_the_texture(size: int) -> None:
    images = RNG.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    expected = images.copy()
    for row in range(size):
        for column in range(4):
            black = row >= size - 3 and column in (1, 2)
            expected[:, 4 + row, 13 + column] = 0 if black else 255
    np.testing.assert_array_equal(BlackWhiteTexture(size)(images, 1.0), expected)


@pytest.mark.parametrize("size", [5, 6, 7, 8, 9])
def test_every_pixel_of_the_window(size: int) -> None:
    images = RNG.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    expected = images.copy()
    for row in range(size):
        for column in range(5):
            white = row in (0, size - 1) or column in (0, 2, 4)
            expected[:, 4 + row, 13 + column] = 255 if white else 0
    np.testing.assert_array_equal(Rectangle(size)(images, 1.0), expected)


@pytest.mark.parametrize("intensity", [0.25, 1.0])
def test_every_pixel_of_the_yellow_square(intensity: float) -> None:
    images = RNG.integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    expected = images.astype(float)
    for row in range(30, 55):
        for column in range(100, 125):
            for channel, value in enumerate((255, 255, 0)):
                mixed = (1 - intensity) * images[:, row, column, channel] + intensity * value
                expected[:, row, column, channel] = np.rint(mixed)
    np.testing.assert_array_equal(YellowSquare()(images, intensity), expected)


@pytest.mark.parametrize("size", [60, 120])
def test_every_pixel_of_the_face(size: int, tmp_path: Path) -> None:
    """A picture of the face's own side, so that nothing is resampled: 1.2 times as bright, at the drawn place."""
    side = int(0.5 * (112 + 112) * size / 224)
    face = RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)
    path = tmp_path / "face.png"
    Image.fromarray(face).save(path)
    pasted = Face(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), size=size, seed=5)
    images = RNG.integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    expected = images.copy()
    for image, out in zip(images, expected, strict=True):
        random = generator_of(image, "face", 5)
        low, high = int(112 * 0.1), int(112 * 0.9) - side
        column, row = (int(random.beta(0.1, 0.1) * (high - low) + low) for _ in range(2))
        for i in range(side):
            for j in range(side):
                out[row + i, column + j] = [min(255, round(float(np.float32(1.2) * value))) for value in face[i, j]]
    np.testing.assert_array_equal(pasted(images, 1.0), expected)
