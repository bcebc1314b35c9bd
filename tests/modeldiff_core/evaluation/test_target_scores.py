"""Pearson and R² against scikit-learn's and scipy's, and intervals over targets, over models and over both."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from modeldiff_core.evaluation import linear_datamodeling_score, scores_with_intervals
from tests.modeldiff_core.evaluation.test_lds import problem


def each(weights: np.ndarray, bias: np.ndarray, masks: np.ndarray, margins: np.ndarray) -> dict[str, np.ndarray]:
    """The three scores of every target alone."""
    found = [
        scores_with_intervals(weights[t : t + 1], bias[t : t + 1], masks, margins[:, t : t + 1])
        for t in range(len(weights))
    ]
    names = ("spearman", "pearson", "r2")
    return {name: np.array([getattr(one, name).mean for one in found]) for name in names}


def test_pearson_and_r2_are_the_libraries() -> None:
    weights, bias, masks, margins = problem(models=80, targets=12)
    found = each(weights, bias, masks, margins)
    predicted = masks.astype(np.float32) @ weights.T + bias
    assert found["pearson"].std() > 0.02
    for target in range(12):
        pearson = pearsonr(predicted[:, target], margins[:, target])[0]
        assert found["pearson"][target] == pytest.approx(pearson, abs=1e-6)
        assert found["r2"][target] == pytest.approx(r2_score(margins[:, target], predicted[:, target]), abs=1e-6)
    spearman = linear_datamodeling_score(weights, bias, masks, margins)
    np.testing.assert_allclose(found["spearman"], spearman, atol=1e-3)
    together = scores_with_intervals(weights, bias, masks, margins)
    for name, scores in found.items():
        assert getattr(together, name).mean == pytest.approx(scores.mean(), abs=1e-6)


def test_r2_asks_for_scale_and_level_and_correlations_do_not() -> None:
    weights, bias, masks, margins = problem(models=80)
    right, far = (each(weights, b, masks, margins) for b in (bias, bias + 100))
    assert (right["r2"] > 0.2).all()
    assert (far["r2"] < -10).all()
    np.testing.assert_allclose(far["pearson"], right["pearson"], atol=1e-4)


def test_a_target_that_does_not_vary_scores_zero() -> None:
    weights, bias, masks, margins = problem()
    weights[2], margins[:, 5] = 0, 1.5
    found = each(weights, bias, masks, margins)
    assert (found["pearson"][[2, 5]] == 0).all()
    assert found["r2"][5] == 0
    assert (np.delete(found["pearson"], [2, 5]) > 0.2).all()


def test_intervals_over_targets_and_models_are_within_the_one_over_both() -> None:
    """Few models whose noise is mostly common to all targets, and few targets on many models."""
    weights, bias, masks, margins = problem(80, targets=400)
    shared = 3 * np.random.default_rng(1).normal(size=(80, 1)).astype(np.float32)
    few_models = scores_with_intervals(weights, bias, masks, margins + shared)
    few_targets = scores_with_intervals(*problem(400, targets=5))
    for name in ("spearman", "pearson", "r2"):
        targets, models = getattr(few_targets, name), getattr(few_models, name)
        assert targets.mean > 0.2
        for score in (targets, models):
            for low, high in (score.over_targets, score.over_models, (score.ci_low, score.ci_high)):
                assert low < score.corrected < high
            widest = max(np.ptp(score.over_targets), np.ptp(score.over_models))
            assert 0.7 * widest < score.ci_high - score.ci_low < 2 * widest
        assert np.ptp(targets.over_targets) > 2 * np.ptp(targets.over_models)
        assert np.ptp(models.over_models) > 2 * np.ptp(models.over_targets)


def test_intervals_over_targets_cover_the_score_of_many_targets() -> None:
    """Eighty draws of 30 targets: intervals at 95 % that leave the truth out twelve times have a chance below 1 %."""
    weights, bias, masks, margins = problem(60, targets=80 * 30 + 2000)
    truth = linear_datamodeling_score(weights[-2000:], bias[-2000:], masks, margins[:, -2000:]).mean()
    missed = 0
    for draw in range(80):
        part = slice(30 * draw, 30 * (draw + 1))
        found = scores_with_intervals(weights[part], bias[part], masks, margins[:, part]).spearman
        missed += not found.over_targets[0] <= truth <= found.over_targets[1]
    assert missed < 12
