"""Sizes along directions hold no bias through slopes; what models add to slopes has the variance that slopes have."""

from functools import cache

import numpy as np
import pytest

from modeldiff_core.comparison.contrast import Contrast, contrast_of, find_contrast, fits_of, sample_of
from modeldiff_core.comparison.effect_sizes import _along, effect_sizes
from modeldiff_core.comparison.noise import blocks_of
from modeldiff_core.comparison.slope_errors import slope_errors
from modeldiff_core.comparison.slope_noise import half_slopes
from modeldiff_core.comparison.slopes import slope_angles
from tests.modeldiff_core.comparison.planted_margins import masks_of

MODELS, TRAIN, TARGETS, DRAWS = 160, 16, 12, 200
NOISE = 1.0, 1.4


@cache
def drawn(paired: bool) -> dict[str, np.ndarray]:
    """Return, of DRAWS noises of one world, sizes along a fixed direction, their corrections, and slopes.

    Sizes are of the contrast, of A and of B, on half 1. ``true``: the same at slopes of margins without noise, which
    have no bias (test_effect_sizes) and nearly the same noise.
    """
    rng = np.random.default_rng(5)
    theta = rng.normal(size=(TARGETS, 3)) @ rng.normal(size=(3, TRAIN)) + rng.normal(size=(TARGETS, TRAIN))
    direction = np.zeros((1, TRAIN), np.float32)
    direction[0, :4] = 0.5
    theta += 5.0 * (np.arange(TARGETS) % 2)[:, None] * direction
    differs = theta + 2.0 * (np.arange(TARGETS) < 4)[:, None] * direction
    masks_a = masks_of(rng, MODELS, TRAIN)
    masks_b = masks_a if paired else masks_of(rng, MODELS, TRAIN)
    expected = masks_a @ differs.T, masks_b @ theta.T
    deviation = 0.5 * np.sqrt(np.square(theta).sum(1))
    kept: dict[str, list[object]] = {
        name: [] for name in ("size", "bias", "true", "error", "square", "middle", "variance")
    }
    for _ in range(DRAWS):
        margins = [y + scale * deviation * rng.normal(size=y.shape) for y, scale in zip(expected, NOISE, strict=True)]
        sample = sample_of((masks_a, masks_b), (margins[0], margins[1]), share=0.3)
        fits, weights = sample.fits(), np.ones(TARGETS)
        blocks = blocks_of(sample, 1)
        models = MODELS if paired else 2 * MODELS
        errors = slope_errors(fits, blocks, weights, direction, (1, models))
        slopes = half_slopes(fits, blocks, weights, direction, 1)
        clean = [(y - y.mean(0)) / unit for y, unit in zip(expected, sample.units, strict=True)]
        angles = slope_angles(*fits_of(sample.halves, *clean, (0, 1), paired=paired).products(1, direction.T))
        for name, each in (("size", errors.angles), ("true", angles)):
            kept[name].append([size[0][0] for size in _along(sample, weights, each, direction, 1)])
        kept["bias"].append(errors.bias[:, 0])
        kept["variance"].append(np.square(errors.influence[:, :, 0]).sum(1) - errors.twice[:, 0])
        kept["error"].append(slopes.angles - angles)
        kept["square"].append(slopes.square)
        kept["middle"].append(slopes.middle)
    return {name: np.array(each) for name, each in kept.items()}


@pytest.mark.parametrize("paired", [True, False])
def test_sizes_hold_no_bias_through_slopes(paired: bool) -> None:
    found = drawn(paired)
    off = found["size"] - found["true"]
    unsure = off.std(0) / np.sqrt(DRAWS)
    assert (found["true"].mean(0) > 10 * unsure).all()
    assert off[:, 0].mean() > 3 * unsure[0]  # so it would not pass without the correction
    left = (off - found["bias"]).mean(0) / unsure
    assert abs(left[0]) < 2.5
    assert not paired or np.abs(left).max() < 2.5


@pytest.mark.parametrize("paired", [True, False])
def test_moments_of_slopes_are_those_of_their_errors(paired: bool) -> None:
    found = drawn(paired)
    square = np.square(found["error"]).mean()
    assert square > 0.005
    np.testing.assert_allclose(found["square"].mean(), square, rtol=0.15)
    assert 0.001 < found["middle"].mean() < 0.1 * square**0.5
    # Influences are a little too large: lengths by which they are divided have noise.
    ratio = found["variance"].mean(0) / (found["size"] - found["true"]).var(0)
    assert (ratio > 0.9).all()
    assert (ratio < 1.8).all()


def test_slopes_of_the_half_that_chose_directions_measure_nothing() -> None:
    """Sizes along a version from half 0 rest on half 1 alone: margins of half 0 count only through the version."""
    rng = np.random.default_rng(0)
    masks = masks_of(rng, 80, 12)
    a, b = (masks @ rng.normal(size=(12, 8)) + rng.normal(size=(80, 8)) for _ in "ab")
    sample = sample_of((masks, masks), (a, b), share=0.3)
    fits, contrast = sample.fits(), Contrast(np.ones(8))
    direction = np.eye(12, dtype=np.float32)[:1]
    before = slope_errors(fits, blocks_of(sample, 1), contrast.weights, direction, (1, 80))
    sample.a[sample.halves[0].rows[0]] += rng.normal(size=(40, 8)).astype(np.float32)
    after = slope_errors(sample.fits(), blocks_of(sample, 1), contrast.weights, direction, (1, 80))
    np.testing.assert_array_equal(before.angles, after.angles)
    np.testing.assert_array_equal(before.bias, after.bias)
    assert not before.influence[:, sample.halves[0].rows[0]].any()
    assert before.influence[:, sample.halves[0].rows[1]].any()


def test_errors_of_slopes_are_bounded_where_nothing_is_learned() -> None:
    rng = np.random.default_rng(3)
    masks = masks_of(rng, 80, 12)
    sample = sample_of((masks, masks), (rng.normal(size=(80, 8)), rng.normal(size=(80, 8))), share=0.3)
    with np.errstate(all="raise"):
        slopes = half_slopes(sample.fits(), blocks_of(sample, 0), np.ones(8), np.eye(12, dtype=np.float32)[:1], 0)
    assert slopes.square.max() == pytest.approx(np.pi**2 / 48)
    assert (np.abs(slopes.middle) <= np.sqrt(slopes.square) * (1 + 1e-12)).all()


def test_totals_have_a_row_for_what_slopes_add() -> None:
    rng = np.random.default_rng(1)
    masks = masks_of(rng, 120, 14)
    a, b = (masks @ rng.normal(size=(14, 10)) + rng.normal(size=(120, 10)) for _ in "ab")
    sample = sample_of((masks, masks), (a, b), share=0.3)
    fits = sample.fits()
    contrast = contrast_of(sample, fits)
    sizes = effect_sizes(sample, fits, contrast, find_contrast(contrast, fits, 2))
    assert sizes.influence.shape == (121, 2 + 3)
    assert (sizes.influence[-1, :3] == 0).all()  # along directions, and outside none of them
    assert (sizes.influence[-1, 3:] > 0).all()
    same = contrast_of(sample, fits, "identical")
    assert (effect_sizes(sample, fits, same, find_contrast(same, fits, 2)).influence[-1] == 0).all()
