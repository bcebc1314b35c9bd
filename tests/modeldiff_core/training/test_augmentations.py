"""Each augmentation, pixel by pixel, against a loop over images, rows, columns and channels."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.errors import ConfigError
from modeldiff_core.training.augmentations import Augmentation, Cutout, Erase, Flip, Noise, Translate

SHAPES = st.tuples(st.integers(1, 5), st.integers(2, 6), st.integers(2, 6), st.integers(1, 3))
SEEDS = st.integers(0, 10_000)


def applied(augmentation: Augmentation, shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random images, their draws, and what the augmentation makes of them (which must leave its input alone)."""
    rng = np.random.default_rng(seed)
    images = rng.random(shape, dtype=np.float32)
    draws = rng.random((shape[0], augmentation.n_draws(*shape[1:])), dtype=np.float32)
    given_images = torch.from_numpy(images.copy())
    out = augmentation(given_images, torch.from_numpy(draws)).numpy()
    np.testing.assert_array_equal(given_images.numpy(), images)
    assert out.dtype == np.float32
    return images, draws, out


@given(SHAPES, SEEDS, st.floats(0, 1))
def test_flip(shape: tuple[int, ...], seed: int, probability: float) -> None:
    images, draws, out = applied(Flip(probability=probability), shape, seed)
    for n, row, column, channel in np.ndindex(*shape):
        source = shape[2] - 1 - column if draws[n, 0] < np.float32(probability) else column
        assert out[n, row, column, channel] == images[n, row, source, channel]


@given(SHAPES, SEEDS, st.integers(1, 7), st.sampled_from([0.0, 0.5, 1.0]))
def test_translate(shape: tuple[int, ...], seed: int, pixels: int, fill: float) -> None:
    images, draws, out = applied(Translate(pixels=pixels, fill=fill), shape, seed)
    for n, row, column, channel in np.ndindex(*shape):
        down, right = (math.floor(float(draw) * (2 * pixels + 1)) - pixels for draw in draws[n])
        inside = 0 <= row - down < shape[1] and 0 <= column - right < shape[2]
        expected = images[n, row - down, column - right, channel] if inside else np.float32(fill)
        assert out[n, row, column, channel] == expected


@given(SHAPES, SEEDS, st.data())
def test_translate_by_reflection(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    """Mirrored at the outermost pixels, which are not repeated: numpy calls it 'reflect'."""
    pixels = data.draw(st.integers(1, min(shape[1:3]) - 1))
    images, draws, out = applied(Translate(pixels=pixels, mode="reflect"), shape, seed)
    padded = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="reflect")
    for n, row, column, channel in np.ndindex(*shape):
        down, right = (math.floor(float(draw) * (2 * pixels + 1)) - pixels for draw in draws[n])
        assert out[n, row, column, channel] == padded[n, row - down + pixels, column - right + pixels, channel]


@given(SHAPES, SEEDS, st.data())
def test_cutout(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, min(shape[1:3])))
    images, draws, out = applied(Cutout(size=size, fill=0.25), shape, seed)
    for n, row, column, channel in np.ndindex(*shape):
        top = math.floor(float(draws[n, 0]) * (shape[1] - size + 1))
        left = math.floor(float(draws[n, 1]) * (shape[2] - size + 1))
        inside = top <= row < top + size and left <= column < left + size
        assert out[n, row, column, channel] == (np.float32(0.25) if inside else images[n, row, column, channel])


def test_cutout_covers_whole_squares_at_every_place_equally_often() -> None:
    draws = torch.from_numpy(np.random.default_rng(0).random((4900, 2), dtype=np.float32))
    draws[0], draws[1] = 0.0, float(np.nextafter(np.float32(1), np.float32(0)))
    out = Cutout(size=3, fill=1.0)(torch.zeros(4900, 9, 9, 1), draws)
    assert out.sum((1, 2, 3)).eq(9).all()
    places = out.flatten(1).argmax(1)
    assert places[:2].tolist() == [0, 6 * 9 + 6]
    counts = np.unique(places.numpy(), return_counts=True)[1]
    assert len(counts) == 49
    assert np.abs(counts - 100).max() < 5 * math.sqrt(100)


def test_translate_takes_every_shift_equally_often_and_none_beyond() -> None:
    """The draws' extremes too: 0 is −pixels, the largest float below 1 is +pixels."""
    augmentation = Translate(pixels=2)
    image = torch.zeros(5000, 9, 9, 1)
    image[:, 4, 4] = 1
    draws = torch.from_numpy(np.random.default_rng(0).random((5000, 2), dtype=np.float32))
    draws[0], draws[1] = 0.0, float(np.nextafter(np.float32(1), np.float32(0)))
    at = augmentation(image, draws).flatten(1).argmax(1)
    shifts = torch.stack([at // 9 - 4, at % 9 - 4], 1)
    assert shifts[0].tolist() == [-2, -2]
    assert shifts[1].tolist() == [2, 2]
    counts = np.unique(shifts.numpy(), axis=0, return_counts=True)[1]
    assert len(counts) == 25
    assert np.abs(counts - 200).max() < 5 * math.sqrt(200)


@given(SHAPES, SEEDS, st.floats(0, 1), st.data())
def test_erase(shape: tuple[int, ...], seed: int, probability: float, data: st.DataObject) -> None:
    top, left = data.draw(st.integers(0, shape[1] - 1)), data.draw(st.integers(0, shape[2] - 1))
    height, width = data.draw(st.integers(1, shape[1] - top)), data.draw(st.integers(1, shape[2] - left))
    erase = Erase(top=top, left=left, height=height, width=width, fill=0.25, probability=probability)
    images, draws, out = applied(erase, shape, seed)
    for n, row, column, channel in np.ndindex(*shape):
        inside = top <= row < top + height and left <= column < left + width
        erased = inside and draws[n, 0] < np.float32(probability)
        assert out[n, row, column, channel] == (np.float32(0.25) if erased else images[n, row, column, channel])


@given(SHAPES, SEEDS, st.sampled_from([0.02, 0.3]))
def test_noise(shape: tuple[int, ...], seed: int, deviation: float) -> None:
    images, draws, out = applied(Noise(deviation=deviation), shape, seed)
    normal = NormalDist()
    for at, (n, row, column, channel) in enumerate(np.ndindex(*shape)):
        draw = float(draws[n, at % draws.shape[1]])
        expected = images[n, row, column, channel] + deviation * normal.inv_cdf(min(max(draw, 1e-6), 1 - 1e-6))
        assert out[n, row, column, channel] == pytest.approx(min(max(expected, 0), 1), abs=2e-4 * deviation)


def test_noise_is_gaussian_and_cut_at_the_ends_of_the_draws() -> None:
    draws = torch.from_numpy(np.random.default_rng(1).random((1, 40_000), dtype=np.float32))
    draws[0, :2] = torch.tensor([0.0, float(np.nextafter(np.float32(1), np.float32(0)))])
    change = (Noise(deviation=0.05)(torch.full((1, 200, 200, 1), 0.5), draws) - 0.5) / 0.05
    ends = change.flatten()[:2].tolist()
    assert ends == pytest.approx([NormalDist().inv_cdf(1e-6), NormalDist().inv_cdf(1 - 1e-6)], abs=0.02)
    for cut in (-2.0, -1.0, 0.0, 1.0, 2.0):
        assert (change < cut).float().mean().item() == pytest.approx(NormalDist().cdf(cut), abs=5 * 0.5 / 200)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Flip(probability=1.5), "recipe.augmentations.probability"),
        (lambda: Flip(probability=float("nan")), "recipe.augmentations.probability"),
        (lambda: Translate(pixels=4, mode="reflect").n_draws(4, 9, 1), "recipe.augmentations.pixels"),
        (lambda: Cutout(size=0), "recipe.augmentations.size"),
        (lambda: Cutout(size=5).n_draws(4, 9, 1), "recipe.augmentations.size"),
        (lambda: Erase(probability=-0.1), "recipe.augmentations.probability"),
        (lambda: Translate(pixels=0), "recipe.augmentations.pixels"),
        (lambda: Erase(top=-1), "recipe.augmentations"),
        (lambda: Erase(width=0), "recipe.augmentations"),
        (lambda: Erase(top=3, height=2).n_draws(4, 4, 1), "recipe.augmentations"),
        (lambda: Noise(deviation=0.0), "recipe.augmentations.deviation"),
    ],
)
def test_wrong_settings_are_refused_by_key(make: object, key: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.key == key
