"""Difference in means against the two means themselves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from modeldiff_core.datamodels import fit_difference_in_means


@pytest.mark.parametrize(("models", "train", "fraction"), [(200, 30, 0.1), (60, 90, 0.5), (200, 30, 0.9)])
def test_weights_are_the_difference_of_two_means(
    planted: Callable[..., Any], awkward: Any, models: int, train: int, fraction: float
) -> None:
    problem = planted(models, train, fraction)
    masks, margins = awkward(problem.masks), problem.margins.copy()
    margins[:, 2] = 0.1
    fit = fit_difference_in_means(masks, margins)
    for example in range(train):
        if example in (3, 4):
            assert not fit.weights[:, example].any()
            continue
        seen = masks[:, example]
        expected = margins[seen].astype(float).mean(0) - margins[~seen].astype(float).mean(0)
        np.testing.assert_allclose(fit.weights[:, example], expected, atol=1e-5)
    assert np.abs(fit.weights[:2]).max() > 0.1
    assert not fit.weights[2].any()
    np.testing.assert_allclose(fit.predict(masks).mean(0), margins.mean(0), atol=1e-4)


def test_planted_weights_are_ranked_right(planted: Callable[..., Any]) -> None:
    problem = planted(4000, 30, noise=0.1)
    fit = fit_difference_in_means(problem.masks, problem.margins)
    for mine, true in zip(fit.weights, problem.weights, strict=True):
        assert np.corrcoef(mine, true)[0, 1] > 0.97
