"""Removal of examples: masks of one size without them, predicted changes, and correlations with their intervals."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from modeldiff_core.designs import FixedSize, Without
from modeldiff_core.evaluation.counterfactual import agreement, most_helpful, predicted_change
from modeldiff_core.subsets import SubsetSampler


def test_subsets_without_examples_differ_from_the_design_in_these_alone() -> None:
    design, removed = SubsetSampler(60, 0.5, 3), (4, 7, 20, 33)
    with_them, without = design.masks(range(40)), Without(FixedSize(60, 0.5, 3), removed).masks(range(40))
    assert with_them[:, removed].any()
    assert not without[:, removed].any()
    assert (without.sum(1) == 30).all()
    lost, won = with_them & ~without, without & ~with_them
    assert set(np.flatnonzero(lost.any(0))) == set(removed)
    np.testing.assert_array_equal(won.sum(1), with_them[:, removed].sum(1))
    np.testing.assert_array_equal(Without(FixedSize(60, 0.5, 3), removed).masks([17])[0], without[17])


def test_the_most_helpful_have_the_largest_weights() -> None:
    weights = np.array([0.1, -5, 3, 3, 0, 2])
    assert most_helpful(weights, 3).tolist() == [2, 3, 5]


def test_a_linear_model_changes_as_predicted() -> None:
    rng = np.random.default_rng(0)
    weights, design = rng.normal(size=60), SubsetSampler(60, 0.5, 0)
    removed = most_helpful(weights, 5)
    before = design.masks(range(10))
    after = Without(FixedSize(60, 0.5, 0), tuple(removed.tolist())).masks(range(10))
    change = predicted_change(weights, before, after)
    assert (change < -1).all()
    np.testing.assert_allclose(change, after @ weights - before @ weights, atol=1e-12)


def test_agreement_is_scipys_and_its_interval_covers() -> None:
    """Sixty studies of 15 targets with a true correlation of √½; 95 % intervals, at least 85 % of them hold it."""
    rng = np.random.default_rng(0)
    held = 0
    for study in range(60):
        signal = rng.normal(size=15)
        predicted = signal + 0.01 * rng.normal(size=(20, 15))
        actual = 2 * signal + 2 * rng.normal(size=15) + 0.5 * rng.normal(size=(20, 15))
        found = agreement(predicted, actual, seed=study)
        x, y = predicted.mean(0), actual.mean(0)
        assert found.pearson == pytest.approx(pearsonr(x, y).statistic, abs=1e-9)
        assert found.spearman == pytest.approx(spearmanr(x, y).statistic, abs=1e-9)
        low, high = found.pearson_interval
        assert low < found.pearson < high
        held += low < 0.5**0.5 < high
    assert 51 <= held <= 60


def test_the_slope_says_how_large_changes_are() -> None:
    predicted = np.random.default_rng(0).normal(size=(5, 9))
    assert agreement(predicted, 3 * predicted).slope == pytest.approx(3)
