"""Tests and intervals hold their level whatever the estimate is."""

import numpy as np
import pytest

from modeldiff_core.comparison.replicates import (
    bootstrap_interval,
    cross_fitted,
    exchange_test,
    stability,
)
from modeldiff_core.statistics.replicates import Replicates


def ridge(x: np.ndarray, y: np.ndarray) -> object:
    """Attributions by weighted ridge regression, as an estimate over rows."""

    def estimate(weights: np.ndarray) -> np.ndarray:
        centered = x - np.average(x, axis=0, weights=weights)
        weighted = centered.T * weights
        return np.linalg.solve(weighted @ centered + np.eye(x.shape[1]), weighted @ (y - y.mean(0))).T

    return estimate


def test_cross_fitting_removes_the_bias_of_a_squared_norm() -> None:
    biased, fitted = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(60, 5))
        estimate = ridge(x, rng.normal(size=(60, 3)))  # nothing depends on x
        biased.append(np.square(estimate(np.ones(60))).sum())
        fitted.append(cross_fitted(estimate, Replicates.single(60), lambda a, b: np.array([(a * b).sum()]))[0])
    assert np.mean(biased) > 0.15, "noise makes a norm"
    assert abs(np.mean(fitted)) < 3 * np.std(fitted) / np.sqrt(200)


def test_stability_tells_signal_from_noise() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 8))
    y = np.column_stack([x @ rng.normal(size=8), rng.normal(size=400)]) + 0.1 * rng.normal(size=(400, 2))
    found = stability(ridge(x, y), Replicates.single(400))
    assert found[0] > 0.99
    assert abs(found[1]) < 0.9


@pytest.mark.parametrize("replicates", [8, 20])
def test_the_exchange_test_holds_its_level_and_finds_a_difference(replicates: int) -> None:
    def largest(mean: np.ndarray) -> np.ndarray:
        return np.abs(mean).ravel()

    alarms = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        null = rng.normal(size=(replicates, 4, 6)) * rng.exponential(size=(replicates, 1, 1))
        alarms += exchange_test(null, largest, draws=99, random=rng).p.min() <= 0.05
    assert alarms <= 24, "a test of exactly 5 % gives more with probability .01"
    planted = np.random.default_rng(1).normal(size=(replicates, 4, 6))
    planted[:, 2, 3] += 3
    test = exchange_test(planted, largest, draws=999, random=np.random.default_rng(2))
    assert test.values.argmax() == 2 * 6 + 3
    assert test.p.min() == pytest.approx(test.floor)
    assert (test.p <= 0.05).sum() == 1


def test_bootstrap_intervals_of_grouped_rows_cover() -> None:
    covered = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(30), 4)
        values = 2 + rng.normal(size=30)[groups] + 0.1 * rng.normal(size=120)  # rows of a group hardly differ

        def mean(weights: np.ndarray, values: np.ndarray = values) -> np.ndarray:
            return np.array([[np.average(values, weights=weights)]])

        low, high = bootstrap_interval(
            mean, Replicates(groups), lambda found: float(found[0, 0]), draws=200, random=rng
        )
        covered += low <= 2 <= high
    assert 0.88 <= covered / 150 <= 0.99, "single rows as replicates would cover about half of the time"
