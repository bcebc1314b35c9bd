"""The contrast: oracles of its parts, what its estimates leave of noise, and planted truth."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from modeldiff_core.comparison.contrast import (
    Contrast,
    contrast_of,
    find_contrast,
    sample_of,
)
from modeldiff_core.comparison.leading import leading_pair
from modeldiff_core.comparison.slopes import log_slopes, slope_angles, slope_spread
from modeldiff_core.comparison.split_ridge import explained_share, left_out, ridge_penalty, split_ridge
from modeldiff_core.errors import ConfigError
from tests.modeldiff_core.comparison.planted_margins import masks_of, planted


@pytest.mark.parametrize("models", [90, 30])
def test_the_operator_is_ridge_regression_of_each_part(models: int) -> None:
    rng = np.random.default_rng(0)
    masks, margins = masks_of(rng, 2 * models, 40), rng.normal(size=(2 * models, 3)).astype(np.float32)
    part = np.arange(2 * models) % 2
    found = split_ridge(masks, 0.4, part)
    penalty = ridge_penalty(0.4, models, 40)
    for which in (0, 1):
        x = masks[part == which].astype(float)
        strength = penalty * np.square(x - x.mean(0)).mean() * models
        oracle = Ridge(alpha=strength).fit(x, margins[part == which]).coef_
        assert np.abs(oracle).max() > 0.1
        np.testing.assert_allclose(found.fit(which, margins[part == which]), oracle, atol=2e-5)
        np.testing.assert_allclose(found.lengths(which), np.square(found.columns[which]).sum(0), rtol=1e-5)


def test_left_out_residuals_are_those_of_fits_without_the_model() -> None:
    rng = np.random.default_rng(1)
    masks, margins = masks_of(rng, 60, 20), rng.normal(size=(60, 2)).astype(np.float32)
    operator = split_ridge(masks, 0.5, np.zeros(60, int))
    found = left_out(masks, margins, operator.columns[0])
    x = masks - masks.mean(0)
    strength = ridge_penalty(0.5, 60, 20) * np.square(x).mean() * 60
    y = margins - margins.mean(0)
    for model in (0, 17, 59):
        rest = np.arange(60) != model
        fit = Ridge(alpha=strength, fit_intercept=False).fit(x[rest], y[rest])
        np.testing.assert_allclose(found[model], y[model] - fit.predict(x[[model]])[0], atol=1e-4)


def test_the_share_that_masks_explain_is_estimated_without_noise() -> None:
    made = [planted(seed) for seed in range(12)]
    standardized = [(one.margins[0] - one.margins[0].mean(0)) / one.margins[0].std(0) for one in made]
    shares = [explained_share(one.masks[0], y) for one, y in zip(made, standardized, strict=True)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.04)
    assert np.std(shares) > 0
    noise = [
        explained_share(one.masks[0], np.random.default_rng(9).permutation(y))
        for one, y in zip(made, standardized, strict=True)
    ]
    assert np.mean(noise) == pytest.approx(0, abs=0.03)


def test_slopes_are_those_of_total_least_squares() -> None:
    rng = np.random.default_rng(2)
    b = rng.normal(size=(5, 30))
    c = np.array([0.2, 0.7, 1.0, 2.0, 9.0])
    a = c[:, None] * b
    angles = slope_angles((a * a).sum(1), (a * b).sum(1), (b * b).sum(1))
    np.testing.assert_allclose(np.tan(angles), c, rtol=1e-6)
    np.testing.assert_allclose(np.exp(log_slopes(angles, np.ones((2, 5)))), c, rtol=1e-6)
    a += 0.5 * rng.normal(size=a.shape)
    matrices = np.stack(
        [np.stack([(b * b).sum(1), (a * b).sum(1)], 1), np.stack([(a * b).sum(1), (a * a).sum(1)], 1)], 1
    )
    vectors = np.linalg.eigh(matrices)[1][:, :, 1]
    oracle = np.arctan(np.abs(vectors[:, 1] / vectors[:, 0]))
    np.testing.assert_allclose(slope_angles((a * a).sum(1), (a * b).sum(1), (b * b).sum(1)), oracle, rtol=1e-5)
    one = np.ones(1)
    assert slope_angles(one, -one, 2 * one) == 0
    assert slope_angles(2 * one, -one, one) == np.pi / 2


def test_the_spread_of_slopes_is_free_of_noise() -> None:
    rng = np.random.default_rng(3)
    true, noise = rng.normal(size=4000) * 0.3, rng.normal(size=(2, 4000)) * 0.5
    weights = np.ones(4000)
    assert slope_spread(true + noise[0], true + noise[1], weights) == pytest.approx(0.09, abs=0.02)
    assert abs(slope_spread(noise[0], noise[1], weights)) < 0.02
    assert slope_spread(np.full(4, np.nan), true[:4], weights[:4]) == 0


@pytest.mark.parametrize("train", [80, 400])
def test_the_leading_pair_is_that_of_the_whole_matrix(train: int) -> None:
    rng = np.random.default_rng(4)
    x, y = (rng.normal(size=(50, train)).astype(np.float32) for _ in "xy")
    value, vector = leading_pair(x, y)
    values, vectors = np.linalg.eigh((x.T @ y + y.T @ x).astype(float) / 2)
    assert value == pytest.approx(values[-1], rel=2e-3)
    assert abs(vector @ vectors[:, -1]) > 0.98


def test_a_product_of_datamodels_within_a_half_holds_no_noise() -> None:
    rng = np.random.default_rng(5)
    products = []
    for _ in range(30):
        masks = masks_of(rng, 120, 30)
        margins = [rng.normal(size=(120, 20)).astype(np.float32) for _ in "ab"]
        fits = sample_of((masks, masks), (margins[0], margins[0] + margins[1]), share=0.5).fits()
        raw = np.einsum("ij,ij->i", fits.a[0], fits.b[0]).mean()
        products.append([raw, fits.products(0)[1].mean(), fits.pooled()[1].mean()])
    raw, within, pooled = np.mean(products, 0)
    error = np.std(products, 0) / np.sqrt(30)
    assert raw > 20 * error[0]
    assert abs(within) < 3 * error[1]
    assert abs(pooled) < 3 * error[2]


@pytest.mark.parametrize("in_b", [False, True])
def test_one_planted_difference_is_the_first_direction_whichever_side_knows_it(in_b: bool) -> None:
    made = planted(0, 0.35, in_b=in_b, noise_b=1.5, spread=0.2)
    sample = sample_of(made.masks, made.margins)
    fits = sample.fits()
    found = find_contrast(contrast_of(sample, fits), fits, 5)
    assert abs(found.directions[0] @ made.direction) > 0.8
    assert np.abs(found.directions[1:] @ made.direction).max() < 0.4
    assert found.eigenvalues[0] > 2 * found.eigenvalues[1] > 0
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(5), atol=1e-4)


def test_scaling_either_side_changes_hardly_anything() -> None:
    made = planted(1, 0.2)
    a, b = made.margins
    first = sample_of(made.masks, (a, b))
    scale = np.exp(np.random.default_rng(0).normal(size=b.shape[1])).astype(np.float32)
    second = sample_of(made.masks, (2 * a + 1, b * scale))
    found = [find_contrast(contrast_of(s, s.fits()), s.fits(), 3) for s in (first, second)]
    # Slopes are drawn towards one that is common in raw margins, so that units matter where noise decides, a little.
    np.testing.assert_allclose(found[0].eigenvalues, found[1].eigenvalues, rtol=2e-2)
    assert abs(found[0].directions[0] @ found[1].directions[0]) > 0.999
    free = [replace(contrast_of(s, s.fits()), alike=None) for s in (first, second)]
    exact = [find_contrast(one, s.fits(), 3).eigenvalues for one, s in zip(free, (first, second), strict=True)]
    np.testing.assert_allclose(*exact, rtol=1e-3)
    logs = [log_slopes(f.angles, s.units) for f, s in zip(found, (first, second), strict=True)]
    np.testing.assert_allclose(logs[1] - logs[0], np.log(2 / scale), atol=1e-2)


def test_removed_directions_are_found_no_more() -> None:
    made = planted(2, 0.35)
    sample = sample_of(made.masks, made.margins)
    fits = sample.fits()
    contrast = contrast_of(sample, fits)
    found = find_contrast(contrast, fits, 2)
    rest = find_contrast(contrast.without(found.directions[:1]), fits, 2)
    assert np.abs(rest.directions @ found.directions[0]).max() < 1e-3
    assert rest.eigenvalues[0] < 0.7 * found.eigenvalues[0]
    assert contrast.without(found.directions[:0]).removed is None


def test_models_of_one_mask_are_one_replicate() -> None:
    made = planted(3, shape=(64, 20, 10))
    (masks, _), (a, b) = made.masks, made.margins
    double, groups = np.repeat(masks, 2, 0), np.repeat(np.arange(64), 2)
    noise = np.random.default_rng(0).normal(size=(128, 10))
    noise[1::2] = -noise[::2]
    one = sample_of((masks, masks), (a, b), share=0.4)
    two = sample_of(
        (double, double), (np.repeat(a, 2, 0) + noise, np.repeat(b, 2, 0) - noise), groups=(groups, groups), share=0.4
    )
    assert two.paired
    np.testing.assert_allclose(one.a, two.a, atol=1e-5)
    np.testing.assert_allclose(one.b, two.b, atol=1e-5)


def test_identical_compares_the_margins_as_they_are() -> None:
    made = planted(4)
    a, b = made.margins
    sample = sample_of(made.masks, (a, 3 * a + 0.1 * b))
    contrast = contrast_of(sample, sample.fits(), "identical")
    assert contrast.fixed is not None
    np.testing.assert_allclose(np.tan(contrast.fixed), sample.units[1] / sample.units[0], rtol=1e-5)
    same = contrast_of(sample, sample.fits())
    free = find_contrast(same, sample.fits(), 1).eigenvalues[0]
    assert find_contrast(contrast, sample.fits(), 1).eigenvalues[0] > 3 * free


def test_one_algorithm_against_itself_has_no_contrast() -> None:
    made = planted(5)
    sample = sample_of(made.masks, (made.margins[0], made.margins[0]))
    contrast = contrast_of(sample, sample.fits())
    assert not contrast.weights.any()
    assert leading_pair(*replace(contrast).rows(sample.fits())[0])[0] == 0


def test_what_cannot_be_compared_is_said() -> None:
    made = planted(6, shape=(40, 20, 10))
    with pytest.raises(ConfigError, match=r"subsets.models.*16"):
        sample_of((made.masks[0][:10],) * 2, (made.margins[0][:10], made.margins[1][:10]))
    with pytest.raises(ConfigError, match="targets"):
        sample_of(made.masks, (np.ones((40, 10)), made.margins[1]))
    sample = sample_of(made.masks, made.margins)
    with pytest.raises(ConfigError, match=r"comparison.components.*between 1 and 9"):
        find_contrast(Contrast(np.ones(10)), sample.fits(), 10)
