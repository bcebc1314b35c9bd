"""The linear datamodeling score against scipy's Spearman correlation, and its interval against what it should cover."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation import Score, linear_datamodeling_score, scores_with_intervals
from modeldiff_core.subsets import SubsetSampler

Problem = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def problem(models: int = 60, train: int = 20, targets: int = 8, noise: float = 1.0, seed: int = 0) -> Problem:
    """Weights, bias, masks and margins that are linear in the masks but for noise."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(targets, train)).astype(np.float32)
    bias = rng.normal(size=targets).astype(np.float32)
    masks = SubsetSampler(train, 0.5, seed).masks(range(models))
    margins = masks @ weights.T + bias + noise * np.sqrt(train / 4) * rng.normal(size=(models, targets))
    return weights, bias, masks, margins.astype(np.float32)


def with_interval(*arrays: np.ndarray) -> Score:
    return scores_with_intervals(*arrays).spearman


def oracle(weights: np.ndarray, bias: np.ndarray, masks: np.ndarray, margins: np.ndarray) -> np.ndarray:
    predicted = masks.astype(np.float32) @ weights.T + bias
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy gives NaN, and warns, for a column that does not vary
        found = [spearmanr(p, y).statistic for p, y in zip(predicted.T, margins.T, strict=True)]
    return np.asarray(np.nan_to_num(found))


@given(
    models=st.integers(3, 40),
    noise=st.sampled_from([0.0, 0.5, 5.0]),
    levels=st.sampled_from([None, 1, 3]),
    seed=st.integers(0, 2**32),
)
def test_the_score_is_the_spearman_correlation(models: int, noise: float, levels: int | None, seed: int) -> None:
    """With ties in margins (rounded) and in predictions (weights of −1, 0 and 1)."""
    weights, bias, masks, margins = problem(models, 12, 4, noise, seed)
    if levels is not None:
        margins, weights, bias = np.round(margins / levels), np.clip(np.round(weights), -1, 1), np.round(bias)
    found = linear_datamodeling_score(weights, bias, masks, margins)
    np.testing.assert_allclose(found, oracle(weights, bias, masks, margins), atol=1e-9)


def test_scores_of_a_known_problem() -> None:
    weights, bias, masks, margins = problem(models=200)
    scores = linear_datamodeling_score(weights, bias, masks, margins)
    assert ((scores > 0.4) & (scores < 0.9)).all(), "noise as large as the signal"
    assert len(set(scores)) == 8
    exact = masks.astype(np.float32) @ weights.T + bias
    np.testing.assert_allclose(linear_datamodeling_score(weights, bias, masks, exact), 1, atol=1e-12)
    np.testing.assert_allclose(linear_datamodeling_score(-weights, bias, masks, exact), -1, atol=1e-12)
    np.testing.assert_array_equal(linear_datamodeling_score(weights, 3 * bias + 1, masks, np.exp(margins)), scores)


def test_a_target_that_does_not_vary_scores_zero() -> None:
    weights, bias, masks, margins = problem()
    weights[2], margins[:, 5] = 0, 1.5
    scores = linear_datamodeling_score(weights, bias, masks, margins)
    assert (scores[[2, 5]] == 0).all()
    assert (np.delete(scores, [2, 5]) > 0.2).all()


def test_the_interval_holds_the_mean_and_shrinks_with_models() -> None:
    """Of the interval for both, the targets' part stays; that for other models shrinks as 1/√models."""
    widths, of_models = [], []
    for models in (30, 120, 480):
        arrays = problem(models, train=20, targets=200)
        score = with_interval(*arrays)
        assert score.mean == pytest.approx(linear_datamodeling_score(*arrays).mean(), abs=1e-9)
        assert score.ci_low < score.corrected < score.ci_high
        assert score.mean < score.corrected < score.mean + 1 / models
        widths.append(score.ci_high - score.ci_low)
        of_models.append(score.over_models[1] - score.over_models[0])
    assert widths[0] > 1.2 * widths[1] > 1.2 * 1.2 * widths[2]
    assert of_models[0] > 1.3 * of_models[1] > 1.3 * 1.3 * of_models[2]


def test_the_interval_shrinks_with_targets() -> None:
    few, many = (with_interval(*problem(300, targets=targets)) for targets in (4, 400))
    assert few.ci_high - few.ci_low > 3 * (many.ci_high - many.ci_low) > 0


def test_the_interval_covers_the_score_of_many_models() -> None:
    """Sixty draws of 80 held-out models: 95 % intervals that leave the truth out eight times have a chance of 1 %."""
    weights, bias, masks, margins = problem(60 * 80 + 5000, targets=20)
    truth = linear_datamodeling_score(weights, bias, masks[-5000:], margins[-5000:]).mean()
    missed = 0
    for draw in range(60):
        part = slice(80 * draw, 80 * (draw + 1))
        score = with_interval(weights, bias, masks[part], margins[part])
        missed += not score.ci_low <= truth <= score.ci_high
    assert missed < 8


def test_the_interval_is_a_function_of_the_models_whatever_their_order() -> None:
    weights, bias, masks, margins = problem()
    found, again = with_interval(weights, bias, masks, margins), with_interval(weights, bias, masks, margins)
    assert found == again
    order = np.random.default_rng(0).permutation(len(masks))
    shuffled = with_interval(weights, bias, masks[order], margins[order])
    assert (shuffled.ci_low, shuffled.ci_high) == pytest.approx((found.ci_low, found.ci_high))
    assert (shuffled.mean, shuffled.corrected) == pytest.approx((found.mean, found.corrected))
    others = with_interval(weights, bias, masks[::2], margins[::2])
    assert abs(others.ci_low - found.ci_low) > 1e-3


def test_the_corrected_score_is_spearmans_rho_without_bias() -> None:
    """E[r] = ((n − 2)·ρ + 3·τ)/(n + 1): by hand from scipy's τ, and on average over draws of few models."""
    weights, bias, masks, margins = problem(models=12)
    predicted = masks.astype(np.float32) @ weights.T + bias
    expected = [
        (13 * spearmanr(p, y).statistic - 3 * kendalltau(p, y).statistic) / 10
        for p, y in zip(predicted.T, margins.T, strict=True)
    ]
    assert with_interval(weights, bias, masks, margins).corrected == pytest.approx(np.mean(expected), abs=1e-9)
    weights, bias, masks, margins = problem(models=300 * 10 + 5000, targets=20)
    truth = linear_datamodeling_score(weights, bias, masks[-5000:], margins[-5000:]).mean()
    draws = [slice(10 * draw, 10 * (draw + 1)) for draw in range(300)]
    found = [with_interval(weights, bias, masks[part], margins[part]) for part in draws]
    plain, corrected = (np.mean([getattr(one, name) for one in found]) for name in ("mean", "corrected"))
    error = np.std([one.corrected for one in found]) / np.sqrt(300)
    assert abs(corrected - truth) < 3 * error < 0.02
    assert truth - plain > 0.02, "what is corrected is not nothing"


def test_every_interval_covers_on_both_sides_with_twenty_models() -> None:
    """Of bootstrap percentiles 51 % held the truth here, and all that missed it lay below."""
    runs, models = 400, 20
    rng = np.random.default_rng(0)
    weights, bias, masks, margins = problem(models=runs * models + 4000, targets=20)
    shared = 2 * rng.normal(size=(len(masks), 1)).astype(np.float32)
    margins = margins + shared
    truth = scores_with_intervals(weights, bias, masks[-4000:], margins[-4000:])
    for name in ("spearman", "pearson", "r2"):
        right = getattr(truth, name).mean
        above, below = 0, 0
        for run in range(runs):
            part = slice(models * run, models * (run + 1))
            low, high = getattr(scores_with_intervals(weights, bias, masks[part], margins[part]), name).over_models
            above, below = above + (low > right), below + (high < right)
        assert above + below <= 36, f"{name}: 5 % of {runs} is 20; 36 has a chance of 1 in 2,000"
        assert max(above, below) <= 30, name


def test_requests_that_give_no_score() -> None:
    weights, bias, masks, margins = problem()
    with pytest.raises(ConfigError, match="3 or more, got 2") as caught:
        linear_datamodeling_score(weights, bias, masks[:2], margins[:2])
    assert caught.value.key == "subsets.evaluation_models"
    with pytest.raises(ConfigError, match="3 or more, got 2"):
        with_interval(weights, bias, masks[:2], margins[:2])
    with pytest.raises(ConfigError, match="margins: expected a row for each of 60 masks, got 59"):
        linear_datamodeling_score(weights, bias, masks, margins[:-1])
