"""Least squares against scikit-learn's, where the masks determine the weights and where they do not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from modeldiff_core.datamodels import fit_least_squares
from modeldiff_core.datamodels.gram import co_occurrence
from modeldiff_core.datamodels.least_squares import LeastSquares


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("models", "train"), [(300, 50), (50, 90), (60, 60), (61, 60), (59, 60)])
def test_weights_are_those_of_scikit_learn(
    planted: Callable[..., Any], awkward: Any, models: int, train: int, fraction: float, hard: bool
) -> None:
    problem = planted(models, train, fraction)
    masks = awkward(problem.masks) if hard else problem.masks
    fit = fit_least_squares(masks, problem.margins)
    best = LinearRegression().fit(masks.astype(float), problem.margins.astype(float))
    scale = np.abs(best.coef_).max()
    assert scale > 0.1
    np.testing.assert_allclose(fit.weights, best.coef_, atol=1e-6 * scale)
    np.testing.assert_allclose(fit.bias, best.intercept_, atol=1e-6 * np.abs(best.intercept_).max())
    assert np.isnan(fit.duality_gap).all()
    if hard:
        assert np.abs(fit.weights[:, 3:5]).max() < 1e-6 * scale
        np.testing.assert_allclose(fit.weights[:, 1], fit.weights[:, 0], atol=1e-6 * scale)


def test_fewer_models_than_examples_reproduce_their_margins(planted: Callable[..., Any]) -> None:
    problem = planted(40, 100)
    fit = fit_least_squares(problem.masks, problem.margins)
    assert problem.margins.std() > 1
    np.testing.assert_allclose(fit.predict(problem.masks), problem.margins, atol=1e-4)


def test_planted_weights_are_found_in_units_of_a_mask(planted: Callable[..., Any]) -> None:
    problem = planted(500, 30, 0.9, noise=0.0)
    fit = fit_least_squares(problem.masks, problem.margins)
    contrast = problem.weights - problem.weights.mean(1, keepdims=True)  # sizes of subsets never vary
    assert np.abs(contrast).max() > 0.5
    np.testing.assert_allclose(fit.weights, contrast, atol=1e-4)


def test_counts_that_are_known_change_nothing_and_a_constant_margin_has_no_weights(planted: Callable[..., Any]) -> None:
    problem = planted(120, 40)
    margins = problem.margins.copy()
    margins[:, 1] = 0.1
    fits = [LeastSquares().prepare(problem.masks, counts)(margins) for counts in (None, co_occurrence(problem.masks))]
    assert fits[0].weights[0].any()
    assert not fits[0].weights[1].any()
    assert fits[0].bias[1] == np.float32(0.1)
    np.testing.assert_array_equal(fits[1].weights, fits[0].weights)
