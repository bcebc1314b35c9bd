"""Crops and resizing against a loop over pixels, torch's own interpolation, and torchvision's published algorithm."""

import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.errors import ConfigError
from modeldiff_core.training.crops import CentreCrop, RandomResizedCrop, Resize
from modeldiff_core.training.operations import Operation

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
SEEDS = st.integers(0, 10_000)
WHOLE = (0, 0)

Rectangle = tuple[int, int, int, int]


def images_and_draws(operation: Operation, shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = operation.n_draws(shape[1], shape[2], shape[3])
    return rng.random(shape, dtype=np.float32), rng.random((shape[0], n), dtype=np.float32)


def stretched(image: np.ndarray, rectangle: Rectangle, height: int, width: int) -> np.ndarray:
    """The rectangle (top, left, rows, columns) resized bilinearly, one output pixel at a time."""
    top, left, rows, columns = rectangle
    out = np.empty((height, width, image.shape[2]))
    for row, column, channel in np.ndindex(out.shape):
        y = min(max((row + 0.5) * rows / height - 0.5, 0), rows - 1)
        x = min(max((column + 0.5) * columns / width - 0.5, 0), columns - 1)
        value = 0.0
        for at_y, weight_y in ((math.floor(y), 1 - y % 1), (min(math.floor(y) + 1, rows - 1), y % 1)):
            for at_x, weight_x in ((math.floor(x), 1 - x % 1), (min(math.floor(x) + 1, columns - 1), x % 1)):
                value += weight_y * weight_x * float(image[top + at_y, left + at_x, channel])
        out[row, column, channel] = value
    return out


def torchvision_rectangle(operation: RandomResizedCrop, draws: np.ndarray, height: int, width: int) -> Rectangle:
    """``RandomResizedCrop.get_params`` of torchvision, with the uniform numbers given."""
    log_ratio = [math.log(bound) for bound in operation.ratio]
    for attempt in range(10):
        first, second = float(draws[2 * attempt]), float(draws[2 * attempt + 1])
        target_area = height * width * (operation.scale[0] + first * (operation.scale[1] - operation.scale[0]))
        aspect_ratio = math.exp(log_ratio[0] + second * (log_ratio[1] - log_ratio[0]))
        w, h = round(math.sqrt(target_area * aspect_ratio)), round(math.sqrt(target_area / aspect_ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(float(draws[20]) * (height - h + 1)), int(float(draws[21]) * (width - w + 1)), h, w
    in_ratio = width / height
    w, h = width, height
    if in_ratio < operation.ratio[0]:
        h = max(1, round(w / operation.ratio[0]))
    elif in_ratio > operation.ratio[1]:
        w = max(1, round(h * operation.ratio[1]))
    return (height - h) // 2, (width - w) // 2, h, w


@given(SHAPES, SIZES, SEEDS)
def test_resize(shape: tuple[int, ...], size: tuple[int, int], seed: int) -> None:
    operation = Resize(height=size[0], width=size[1])
    images, draws = images_and_draws(operation, shape, seed)
    out = operation(torch.from_numpy(images), torch.from_numpy(draws))
    assert out.shape[1:] == operation.output_shape(shape[1], shape[2], shape[3])
    assert torch.equal(out, operation.at_evaluation(torch.from_numpy(images)))
    for image, got in zip(images, out.numpy(), strict=True):
        np.testing.assert_allclose(got, stretched(image, (*WHOLE, *image.shape[:2]), *size), atol=1e-6)
    nchw = torch.from_numpy(images).permute(0, 3, 1, 2)
    theirs = torch.nn.functional.interpolate(nchw, size=size, mode="bilinear", align_corners=False, antialias=False)
    np.testing.assert_allclose(out.permute(0, 3, 1, 2), theirs, atol=1e-5)


@given(SHAPES, SEEDS)
def test_resize_to_the_same_size_changes_nothing(shape: tuple[int, ...], seed: int) -> None:
    operation = Resize(height=shape[1], width=shape[2])
    images, draws = images_and_draws(operation, shape, seed)
    np.testing.assert_array_equal(operation(torch.from_numpy(images), torch.from_numpy(draws)), images)


@given(SHAPES, SEEDS, st.data())
def test_centre_crop(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, shape[1])), data.draw(st.integers(1, shape[2]))
    operation = CentreCrop(height=height, width=width)
    images, draws = images_and_draws(operation, shape, seed)
    out = operation(torch.from_numpy(images), torch.from_numpy(draws)).numpy()
    assert out.shape[1:] == operation.output_shape(shape[1], shape[2], shape[3])
    np.testing.assert_array_equal(out, operation.at_evaluation(torch.from_numpy(images)))
    top, left = (shape[1] - height) // 2, (shape[2] - width) // 2
    for n, row, column, channel in np.ndindex(*out.shape):
        assert out[n, row, column, channel] == images[n, top + row, left + column, channel]


RANGES = st.sampled_from([((0.08, 1.0), (3 / 4, 4 / 3)), ((0.9, 1.0), (3 / 4, 4 / 3)), ((0.3, 0.6), (2.0, 2.0))])


@given(SHAPES, SIZES, SEEDS, RANGES)
def test_random_resized_crop(
    shape: tuple[int, ...],
    size: tuple[int, int],
    seed: int,
    ranges: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    operation = RandomResizedCrop(height=size[0], width=size[1], scale=ranges[0], ratio=ranges[1])
    images, draws = images_and_draws(operation, shape, seed)
    out = operation(torch.from_numpy(images), torch.from_numpy(draws)).numpy()
    assert out.shape[1:] == operation.output_shape(shape[1], shape[2], shape[3])
    for image, row, got in zip(images, draws, out, strict=True):
        rectangle = torchvision_rectangle(operation, row, shape[1], shape[2])
        np.testing.assert_allclose(got, stretched(image, rectangle, *size), atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "fits"), [(32, 32, 1.0), (32, 40, 0.9), (40, 32, 0.9), (6, 32, 0.0), (32, 6, 0.0)]
)
def test_rectangles_are_those_of_torchvision(height: int, width: int, fits: float) -> None:
    """The fallback too: long images hold no rectangle of 0.7 of their area within the ratios."""
    operation = RandomResizedCrop(scale=(0.7, 1.0))
    draws = np.random.default_rng(0).random((500, operation.n_draws(height, width, 3)), dtype=np.float32)
    draws[0], draws[1] = 0.0, np.nextafter(np.float32(1), np.float32(0))
    got = torch.stack(astuple(operation.rectangles(torch.from_numpy(draws), height, width)), 1).tolist()
    assert got == [list(torchvision_rectangle(operation, row, height, width)) for row in draws]
    distinct = len({tuple(rectangle) for rectangle in got})
    assert distinct == 1 if not fits else distinct > 50 * fits


def test_rectangles_have_the_areas_ratios_and_places_asked_for() -> None:
    operation = RandomResizedCrop(scale=(0.1, 0.3), ratio=(0.5, 2.0))
    draws = torch.from_numpy(np.random.default_rng(1).random((20_000, 22), dtype=np.float32))
    top, left, rows, columns = (value.double() for value in astuple(operation.rectangles(draws, 500, 500)))
    assert ((top + rows).max().item(), (left + columns).max().item()) == (500, 500)
    share = rows * columns / 500**2
    assert (share.min().item(), share.max().item()) == pytest.approx((0.1, 0.3), abs=0.003)
    assert share.mean().item() == pytest.approx(0.2, abs=5 * 0.2 / math.sqrt(12 * 20_000))
    assert (columns / rows).log().mean().item() == pytest.approx(0, abs=5 * math.log(4) / math.sqrt(12 * 20_000))
    assert (top / (500 - rows)).mean().item() == pytest.approx(0.5, abs=5 / math.sqrt(12 * 20_000))


def test_random_resized_crop_at_evaluation_is_central_or_the_whole_image() -> None:
    images = torch.rand(2, 7, 9, 3, generator=torch.Generator().manual_seed(0))
    smaller, larger = RandomResizedCrop(height=4, width=5), RandomResizedCrop(height=8, width=8)
    assert torch.equal(smaller.at_evaluation(images), images[:, 1:5, 2:7])
    assert torch.equal(larger.at_evaluation(images), Resize(height=8, width=8).at_evaluation(images))
    assert torch.equal(RandomResizedCrop(height=7, width=9).at_evaluation(images), images)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Resize(height=0), "recipe.augmentations"),
        (lambda: CentreCrop(width=0), "recipe.augmentations"),
        (lambda: CentreCrop(height=5, width=5).n_draws(4, 9, 1), "recipe.augmentations"),
        (lambda: CentreCrop(height=5, width=5).output_shape(9, 4, 1), "recipe.augmentations"),
        (lambda: RandomResizedCrop(height=0), "recipe.augmentations"),
        (lambda: RandomResizedCrop(scale=(0.0, 1.0)), "recipe.augmentations.scale"),
        (lambda: RandomResizedCrop(scale=(0.5, 0.2)), "recipe.augmentations.scale"),
        (lambda: RandomResizedCrop(ratio=(2.0, 1.0)), "recipe.augmentations.ratio"),
    ],
)
def test_wrong_settings_are_refused_by_key(make: object, key: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.key == key
