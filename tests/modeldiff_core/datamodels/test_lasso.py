"""The lasso against scikit-learn's in float64, the optimality conditions, and planted weights."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

from modeldiff_core.datamodels import Datamodels, fit_lasso
from modeldiff_core.datamodels.design import PackedDesign
from modeldiff_core.datamodels.folds import held_out
from modeldiff_core.datamodels.gram import co_occurrence
from modeldiff_core.datamodels.lasso import gram_megabytes, lambda_max, solve
from modeldiff_core.datamodels.moments import moments, validation_split
from modeldiff_core.errors import ConfigError
from modeldiff_core.statistics.replicates import Replicates

DESIGNS = pytest.mark.parametrize(
    ("models", "train", "fraction"),
    [(300, 50, 0.1), (300, 50, 0.5), (300, 50, 0.9), (50, 90, 0.1), (50, 90, 0.5), (50, 90, 0.9), (80, 80, 0.5)],
)


def objective(masks: np.ndarray, margins: np.ndarray, weights: np.ndarray, bias: float, penalty: float) -> float:
    """(1/2m)·‖y − b − Xw‖² + λ‖w‖₁ of one target in float64."""
    residual = margins.astype(float) - masks @ weights.astype(float) - bias
    return float(residual @ residual / (2 * len(masks)) + penalty * np.abs(weights).sum(dtype=float))


def oracle(masks: np.ndarray, margins: np.ndarray, penalty: float) -> Lasso:
    """scikit-learn's lasso of one target, to far below the gaps under test."""
    model = Lasso(alpha=float(penalty), tol=1e-12, max_iter=500_000)
    return model.fit(masks.astype(float), margins.astype(float))


def suboptimality(masks: np.ndarray, margins: np.ndarray, fit: Datamodels, target: int) -> tuple[float, float, Lasso]:
    """Our objective, its relative excess over scikit-learn's, and scikit-learn's solution."""
    y, penalty = margins[:, target], float(fit.lambdas[target])
    best = oracle(masks, y, penalty)
    ours = objective(masks, y, fit.weights[target], float(fit.bias[target]), penalty)
    theirs = objective(masks, y, best.coef_, best.intercept_, penalty)
    return ours, (ours - theirs) / ours, best


@DESIGNS
@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_the_solution_is_that_of_scikit_learn(
    planted: Callable[..., Any], models: int, train: int, fraction: float, noise: float
) -> None:
    problem = planted(models, train, fraction, noise=noise)
    fit = fit_lasso(problem.masks, problem.margins, gap_tolerance=1e-6)
    assert fit.duality_gap.max() <= 1e-6
    assert noise == 1 or (np.abs(fit.weights).max(1) > 0.1).sum() >= 2
    for target in range(3):
        _, excess, best = suboptimality(problem.masks, problem.margins, fit, target)
        assert np.count_nonzero(best.coef_) < train
        assert -1e-7 < excess < 2e-6
        np.testing.assert_allclose(fit.weights[target], best.coef_, atol=1e-3 * max(1, np.abs(best.coef_).max()))
        assert fit.bias[target] == pytest.approx(best.intercept_, abs=5e-3)


@DESIGNS
@pytest.mark.parametrize("share", [0.3, 0.05, 0.01])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_any_penalty_reaches_a_gap_that_holds_in_float64(
    planted: Callable[..., Any], models: int, train: int, fraction: float, share: float, offset: float
) -> None:
    """Without noise, with small penalties and far from zero: float32 alone stalls here at gaps of 10⁻⁶ to 10⁻³."""
    problem = planted(models, train, fraction, noise=0.0)
    margins = problem.margins + np.float32(offset)
    data = moments(torch.from_numpy(problem.masks).float(), torch.from_numpy(margins))
    penalties = share * lambda_max(data)
    weights, gap = solve(data, penalties, torch.zeros_like(data.cross), 1e-6)
    assert gap.max() <= 1e-6
    assert weights.count_nonzero() > 3
    x, y = problem.masks - problem.masks.mean(0), margins.astype(float) - margins.astype(float).mean(0)
    w, penalty = weights.numpy(), penalties.numpy()
    residual = y - x @ w
    primal = (residual**2).sum(0) / (2 * models) + penalty * np.abs(w).sum(0)
    dual_point = residual * np.minimum(1, penalty / np.abs(x.T @ residual / models).max(0))
    dual = (dual_point * y).sum(0) / models - (dual_point**2).sum(0) / (2 * models)
    np.testing.assert_allclose(gap.numpy(), (primal - dual) / primal, rtol=1e-4, atol=1e-11)


@DESIGNS
@pytest.mark.parametrize("tolerance", [0.3, 1e-2, 1e-4])
def test_the_gap_bounds_the_distance_from_the_optimum(
    planted: Callable[..., Any], models: int, train: int, fraction: float, tolerance: float
) -> None:
    problem = planted(models, train, fraction, noise=0.3, seed=4)
    fit = fit_lasso(problem.masks, problem.margins, gap_tolerance=tolerance)
    assert (fit.duality_gap > 1e-6).sum() >= 2
    for target in range(3):
        _, excess, _ = suboptimality(problem.masks, problem.margins, fit, target)
        assert -1e-7 < excess <= fit.duality_gap[target] + 1e-7 <= tolerance + 1e-7


@DESIGNS
def test_optimality_conditions(planted: Callable[..., Any], models: int, train: int, fraction: float) -> None:
    """x_jᵀr/m = λ·sign(w_j) where w_j ≠ 0, and |x_jᵀr/m| ≤ λ elsewhere; the mean residual is zero."""
    problem = planted(models, train, fraction, noise=0.3)
    fit = fit_lasso(problem.masks, problem.margins, gap_tolerance=1e-9)
    residual = problem.margins.astype(float) - fit.predict(problem.masks)
    np.testing.assert_allclose(residual.mean(0), 0, atol=1e-5)
    centered = problem.masks - problem.masks.mean(0)
    slope = (centered.T @ residual / models / fit.lambdas).T
    support = np.abs(fit.weights) > 1e-3
    assert 3 < support.sum() < support.size
    np.testing.assert_allclose(slope[support], np.sign(fit.weights[support]), atol=2e-3)
    assert np.abs(slope).max() < 1 + 2e-3


@pytest.mark.parametrize("value", [0.0, 0.1, -3.3, 1e6])
def test_a_constant_margin_has_no_weights(planted: Callable[..., Any], value: float) -> None:
    problem = planted(101, 20)
    margins = problem.margins.copy()
    margins[:, 1] = value
    fit = fit_lasso(problem.masks, margins)
    assert not fit.weights[1].any()
    assert fit.bias[1] == np.float32(value)
    assert fit.duality_gap[1] == fit.validation_r2[1] == fit.lambdas[1] == 0
    alone = fit_lasso(problem.masks, margins[:, [0, 2]])
    assert alone.weights.any(1).all()
    np.testing.assert_allclose(fit.weights[[0, 2]], alone.weights, atol=1e-5)


def test_a_margin_that_varies_only_among_the_held_out_models_has_no_weights(planted: Callable[..., Any]) -> None:
    problem = planted(60, 100)
    _, held = validation_split(Replicates.single(60), 0.1, 0)
    margins = np.ones((60, 1), np.float32)
    margins[held[0]] = 5
    fit = fit_lasso(problem.masks, margins, seed=0)
    assert not fit.weights.any()
    assert fit.bias[0] == pytest.approx(margins.mean())
    assert fit.duality_gap[0] <= 1e-4


def test_duplicated_columns(planted: Callable[..., Any]) -> None:
    """How they share their weight is undetermined; its sum, the objective and the predictions are not."""
    problem = planted(200, 30, noise=0.2)
    masks = np.concatenate([problem.masks, problem.masks[:, :5]], 1)
    fit = fit_lasso(masks, problem.margins, gap_tolerance=1e-7)
    for target in range(3):
        _, excess, best = suboptimality(masks, problem.margins, fit, target)
        assert abs(best.coef_[0] + best.coef_[30]) > 0.3
        assert -1e-7 < excess < 1e-6
        for column in range(5):
            pair = fit.weights[target, column] + fit.weights[target, 30 + column]
            assert pair == pytest.approx(best.coef_[column] + best.coef_[30 + column], abs=1e-3)
        np.testing.assert_allclose(
            fit.predict(masks)[:, target], best.predict(masks.astype(float)), atol=2e-3 * problem.margins.std()
        )


@pytest.mark.parametrize("value", [True, False])
def test_a_column_that_never_changes_has_no_weight(planted: Callable[..., Any], value: bool) -> None:
    problem = planted(200, 30, noise=0.2)
    masks = problem.masks.copy()
    masks[:, 7] = value
    fit = fit_lasso(masks, problem.margins, gap_tolerance=1e-7)
    others = np.delete(np.arange(30), 7)
    without = fit_lasso(masks[:, others], problem.margins, gap_tolerance=1e-7)
    assert without.weights.any(1).all()
    assert not fit.weights[:, 7].any()
    np.testing.assert_allclose(fit.weights[:, others], without.weights, atol=1e-3)
    np.testing.assert_allclose(fit.predict(masks), without.predict(masks[:, others]), atol=1e-3)


def test_the_chosen_penalty_predicts_fresh_models_better_than_the_ends_of_the_path(planted: Callable[..., Any]) -> None:
    problem = planted(400, 100, targets=20, dense=0.05, noise=1.0)
    fresh = planted(2400, 100, targets=20, dense=0.05, noise=0.0)
    np.testing.assert_array_equal(fresh.weights, problem.weights)
    masks, truth = fresh.masks[400:], fresh.margins[400:]
    fit = fit_lasso(problem.masks, problem.margins)
    data = moments(torch.from_numpy(problem.masks).float(), torch.from_numpy(problem.margins))
    top = lambda_max(data)
    assert (fit.lambdas < 0.9 * top.numpy()).all()
    assert (fit.lambdas > 0.011 * top.numpy()).all()

    def error(weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return np.asarray(np.square(truth - masks @ weights.T - bias).mean(0))

    smallest, _ = solve(data, 0.01 * top, torch.zeros_like(data.cross), 1e-4)
    chosen = error(fit.weights, fit.bias)
    none = error(np.zeros_like(fit.weights), problem.margins.mean(0))
    least = error(smallest.T.numpy(), data.bias(smallest).numpy())
    assert (chosen < none).all()
    assert (chosen < least).mean() >= 0.95
    assert chosen.mean() < 0.6 * least.mean()
    assert 0.2 < fit.validation_r2.mean() < 0.7, "half of the variance is noise"


def test_planted_weights_are_recovered(planted: Callable[..., Any]) -> None:
    problem = planted(2000, 80, targets=4, noise=0.3)
    fit = fit_lasso(problem.masks, problem.margins)
    np.testing.assert_allclose(fit.weights, problem.weights, atol=0.15)
    for mine, true in zip(fit.weights, problem.weights, strict=True):
        assert np.corrcoef(mine, true)[0, 1] > 0.99
        large = np.abs(true) > 0.2
        assert large.sum() >= 3
        assert (np.sign(mine[large]) == np.sign(true[large])).all()
    unseen = planted(2500, 80, targets=4, noise=0.3)
    np.testing.assert_array_equal(unseen.weights, problem.weights)
    expected = unseen.masks[2000:] @ problem.weights.T + problem.bias
    assert np.corrcoef(fit.predict(unseen.masks[2000:]).ravel(), expected.ravel())[0, 1] > 0.99


def test_targets_do_not_influence_each_other(planted: Callable[..., Any]) -> None:
    problem = planted(150, 40, targets=6)
    together = fit_lasso(problem.masks, problem.margins, gap_tolerance=1e-8)
    alone = fit_lasso(problem.masks, problem.margins[:, 4:5], gap_tolerance=1e-8)
    assert alone.weights.any()
    assert alone.lambdas[0] == together.lambdas[4]
    np.testing.assert_allclose(alone.weights[0], together.weights[4], atol=1e-3)


FIELDS = ("weights", "bias", "lambdas", "duality_gap", "validation_r2")


@pytest.mark.parametrize("folds", [0, 3])
@pytest.mark.parametrize("budget", [1000, 0.001], ids=["counts", "bits"])
def test_the_size_of_blocks_and_counts_at_hand_change_no_bit(
    planted: Callable[..., Any], folds: int, budget: float
) -> None:
    problem = planted(160, 60, targets=40, noise=1.0)
    options: dict[str, Any] = {"folds": folds, "memory_budget_mb": budget, "n_lambdas": 8 if folds else 20}
    whole = fit_lasso(problem.masks, problem.margins, **options)
    assert len(set(whole.lambdas)) == 40
    assert whole.weights.any(1).mean() > 0.9
    given = fit_lasso(problem.masks, problem.margins, gram=co_occurrence(problem.masks), **options)
    bounds = [0, 1, 3, 36, 40]
    parts = [fit_lasso(problem.masks, problem.margins[:, i:j], **options) for i, j in pairwise(bounds)]
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(given, name), getattr(whole, name))
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


@DESIGNS
@pytest.mark.parametrize("options", [{"memory_budget_mb": 0.001}, {"precise": True}], ids=["bits", "precise"])
def test_other_ways_to_the_solution_of_scikit_learn(
    planted: Callable[..., Any], models: int, train: int, fraction: float, options: dict[str, Any]
) -> None:
    problem = planted(models, train, fraction, noise=0.3)
    fit = fit_lasso(problem.masks, problem.margins, gap_tolerance=1e-6, **options)
    assert fit.duality_gap.max() <= 1e-6
    assert (np.abs(fit.weights).max(1) > 0.1).sum() >= 2
    for target in range(3):
        _, excess, best = suboptimality(problem.masks, problem.margins, fit, target)
        assert -1e-7 < excess < 2e-6
        np.testing.assert_allclose(fit.weights[target], best.coef_, atol=1e-3 * max(1, np.abs(best.coef_).max()))


def test_the_budget_decides_whether_counts_are_kept(
    planted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = planted(60, 40)
    foreseen = gram_megabytes(60, 40, torch.device("cpu"))
    packed: list[int] = []
    pack = PackedDesign.pack
    monkeypatch.setattr(PackedDesign, "pack", lambda x: packed.append(len(x)) or pack(x))
    fit_lasso(problem.masks, problem.margins, memory_budget_mb=1.01 * foreseen)
    assert packed == []
    fit_lasso(problem.masks, problem.margins, memory_budget_mb=0.99 * foreseen)
    assert packed == [60]


def test_the_float64_check_agrees_with_the_usual_mix_of_precisions(planted: Callable[..., Any]) -> None:
    problem = planted(300, 60, targets=40, noise=1.0)
    usual, precise = (fit_lasso(problem.masks, problem.margins, gap_tolerance=1e-8, precise=p) for p in (False, True))
    same = usual.lambdas == precise.lambdas
    assert same.mean() >= 0.9, "paths stop at a gap of 1e-2, so few of the choices may differ"
    assert usual.weights[same].any(1).mean() > 0.9
    np.testing.assert_allclose(usual.weights[same], precise.weights[same], atol=1e-3)


def test_folds_choose_the_penalty_of_least_error_over_all_models(planted: Callable[..., Any]) -> None:
    """The path of each fold by scikit-learn, on the grid of all models."""
    problem = planted(120, 30, targets=4, noise=1.0)
    fit = fit_lasso(problem.masks, problem.margins, folds=4, n_lambdas=8, seed=5)
    x, y = problem.masks.astype(float), problem.margins.astype(float)
    top = np.abs((x - x.mean(0)).T @ (y - y.mean(0))).max(0) / 120
    for target in range(4):
        grid = top[target] * 0.01 ** (np.arange(8) / 7)
        errors = np.zeros(8)
        for held in held_out(Replicates.single(120), 4, 0.1, 5):
            keep = np.setdiff1d(np.arange(120), held)
            for k, penalty in enumerate(grid):
                model = oracle(problem.masks[keep], problem.margins[keep, target], penalty)
                errors[k] += np.square(y[held, target] - model.predict(x[held])).sum()
        assert 0 < np.argmin(errors) < 7
        near = errors <= 1.01 * errors.min()
        assert np.isclose(grid, fit.lambdas[target], rtol=1e-5)[near].any()
        spread = np.square(y[:, target] - y[:, target].mean()).sum()
        assert fit.validation_r2[target] == pytest.approx(1 - errors.min() / spread, abs=0.02)
    assert fit.duality_gap.max() <= 1e-4


def test_the_certificate_holds_for_the_weights_that_are_returned(planted: Callable[..., Any]) -> None:
    """From masks and margins in float64, without moments."""
    problem = planted(400, 150, targets=20, noise=1.0)
    fit = fit_lasso(problem.masks, problem.margins)
    assert (fit.duality_gap > 1e-5).mean() > 0.5
    x = problem.masks - problem.masks.mean(0)
    y = problem.margins.astype(float) - problem.margins.astype(float).mean(0)
    w, penalty = fit.weights.T.astype(float), fit.lambdas.astype(float)
    residual = y - x @ w
    primal = np.square(residual).mean(0) / 2 + penalty * np.abs(w).sum(0)
    point = residual * np.minimum(1, penalty / np.abs(x.T @ residual / 400).max(0))
    dual = (point * y).mean(0) - np.square(point).mean(0) / 2
    np.testing.assert_allclose((primal - dual) / primal, fit.duality_gap, rtol=0.05, atol=1e-6)


def test_predict_is_a_sum_over_the_examples_left_in() -> None:
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(3, 7)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    empty = np.zeros(3, np.float32)
    masks = rng.random((5, 7)) < 0.5
    got = Datamodels(weights, bias, empty, empty, empty).predict(masks)
    for model, target in np.ndindex(5, 3):
        expected = bias[target] + sum(weights[target, j] for j in range(7) if masks[model, j])
        assert got[model, target] == pytest.approx(expected, abs=1e-5)


MASKS = np.random.default_rng(0).random((20, 6)) < 0.5
"""Of six examples only, so that 16 of the 20 differ."""
MARGINS = np.random.default_rng(1).normal(size=(20, 2))


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"validation_fraction": 0.0}, "regression.validation_fraction", "got 0.0"),
        ({"validation_fraction": 1.0}, "regression.validation_fraction", "got 1.0"),
        ({"n_lambdas": 0}, "regression.n_lambdas", "got 0"),
        ({"lambda_min_ratio": 0.0}, "regression.lambda_min_ratio", "got 0.0"),
        ({"lambda_min_ratio": 1.0}, "regression.lambda_min_ratio", "got 1.0"),
        ({"lambda_min_ratio": 3.0}, "regression.lambda_min_ratio", "goes down from λ_max"),
        ({"folds": 17}, "regression.folds", "no more folds than the 16 different masks, got 17"),
        ({"folds": 1}, "regression.folds", "got 1"),
        ({"memory_budget_mb": 0}, "regression.memory_budget_mb", "got 0"),
        ({"gram": np.zeros((6, 6), np.float32)}, "gram", "training example 0"),
        ({"gram": np.zeros((5, 5), np.float32)}, "gram", "(6, 6)"),
        ({"gap_tolerance": 0.0}, "regression.gap_tolerance", "got 0.0"),
        ({"gap_tolerance": float("nan")}, "regression.gap_tolerance", "got nan"),
    ],
)
def test_wrong_requests_are_refused_by_key(options: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fit_lasso(MASKS, MARGINS, **options)
    assert caught.value.key == key
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"n_lambdas": 1}, {"validation_fraction": 0.9}, {"validation_fraction": 0.01}, {"folds": 16, "n_lambdas": 5}],
)
def test_extreme_but_valid_requests_are_answered(options: dict[str, Any]) -> None:
    fit = fit_lasso(MASKS, MARGINS, **options)
    assert np.isfinite(fit.weights).all()
    assert np.isfinite(fit.bias).all()
    assert (fit.duality_gap <= 1e-4).all()
