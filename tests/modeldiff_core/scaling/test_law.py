"""Fits of planted laws: coefficients without noise, optima and intervals with it, and what is not identified."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from harness.planted_laws import SPARSITIES, Planted, grid
from modeldiff_core.errors import ConfigError
from modeldiff_core.scaling import Runs
from modeldiff_core.scaling.coefficients import coefficients
from modeldiff_core.scaling.cost import Cost
from modeldiff_core.scaling.forms import CHINCHILLA, GRANULARITY
from modeldiff_core.scaling.held_out import compare_held_out
from modeldiff_core.scaling.law import FittedLaw, Options, Points, cells_of, fit_law
from modeldiff_core.scaling.optima import Window, best_size, best_sparsity
from modeldiff_core.scaling.trends import trends

TRUTH = Planted()
SIZES = np.geomspace(1e8, 3e10, 5)


def runs_of(noise: float, seed: int = 0, budgets: tuple[float, ...] = (3e19, 1e20, 3e20)) -> Runs:
    return TRUTH.runs(grid(SIZES, SPARSITIES, budgets), noise, np.random.default_rng(seed))


def test_all_coefficients_come_back_without_noise() -> None:
    runs = runs_of(0.0)
    law = fit_law(runs, options=Options(draws=0))
    known = {**vars(TRUTH), "lambda": TRUTH.power}
    found = coefficients(law, runs)
    assert {one.name for one in found} == {"a", "b", "c", "d", "alpha", "beta", "lambda", "delta", "gamma", "e"}
    for one in found:
        assert one.value == pytest.approx(known[one.name], rel=1e-3)
        assert one.determined


def test_the_fit_is_no_worse_than_a_general_solver(planted_runs: Runs) -> None:
    law = fit_law(planted_runs, options=Options(bend=1e3, draws=0))
    design, logs = law.design(Points.of(planted_runs)), np.log(planted_runs.loss)

    def residuals(parameters: np.ndarray) -> np.ndarray:
        return np.asarray(np.log(law.form.losses(parameters[None], design))[0] - logs)

    other = least_squares(residuals, law.parameters, x_scale="jac", max_nfev=300)
    assert np.square(law.residuals).sum() > 1e-6
    assert np.square(law.residuals).sum() <= 2 * other.cost * (1 + 1e-6)


def test_optima_and_predictions_hold_the_planted_ones(planted_runs: Runs, planted_law: FittedLaw) -> None:
    n, c = np.array([1e9, 5e9, 5e8, 1e9]), np.array([1e20, 3e20, 3e20, 3e19])
    found, planted = best_sparsity(planted_law, n, c, Window.of(planted_runs)), TRUTH.best(n, c)
    assert planted.std() > 0.05
    np.testing.assert_allclose(found.best.value, planted, atol=0.02)
    assert (found.best.width < 0.1).all()
    assert not found.censored.any()
    points = Points(n, c / (6 * 0.5 * n), np.full(4, 0.5))
    predicted = planted_law.predict(points)
    np.testing.assert_allclose(predicted.value, TRUTH.loss(n, points.tokens, points.sparsity), atol=0.01)
    assert (predicted.width > 0).all()


def test_optima_beyond_the_runs_are_flagged(planted_runs: Runs, planted_law: FittedLaw) -> None:
    n, c = np.array([1e8, 3e10]), np.array([1e21, 3e19])
    found = best_sparsity(planted_law, n, c, Window.of(planted_runs))
    np.testing.assert_array_equal(found.edge, [-1, 1])
    np.testing.assert_allclose(found.best.value, [0, 0.98])
    size = best_size(planted_law, np.array([0.0]), np.array([1e30]), Window.of(planted_runs))
    assert size.edge[0] == 1


def test_the_best_sparsity_rises_with_size_and_falls_with_the_budget(
    planted_runs: Runs, planted_law: FittedLaw
) -> None:
    found = trends(planted_law, SIZES, np.array([3e19, 1e20, 1e21]), Window.of(planted_runs))
    assert (found.rises, found.falls) == (1, 1)
    assert 0 < found.inside < found.points


def test_much_noise_leaves_e_undetermined_and_beta_known() -> None:
    runs = runs_of(0.02, seed=3)
    law = fit_law(runs, options=Options(draws=0))
    constant, beta = coefficients(law, runs, ("e", "beta"))
    assert not constant.determined
    assert beta.determined
    assert beta.low < TRUTH.beta < beta.high


def test_other_laws_are_worse_on_runs_held_out(planted_runs: Runs) -> None:
    law = fit_law(planted_runs, options=Options(draws=0))
    found = {(one.law, one.held): one for one in compare_held_out(planted_runs, [law.form, CHINCHILLA])}
    assert found["sparsity", "S = 0.98"].rmse < 0.02
    assert found["Chinchilla", "S = 0.98"].rmse > 0.1
    assert found["sparsity", "C = 1e+21"].rmse < 0.02
    assert found["Chinchilla at each sparsity", "C = 1e+21"].rmse < 0.05


def test_the_same_runs_and_seed_give_the_same_bits_and_another_seed_other_draws(planted_runs: Runs) -> None:
    one, again, other = (fit_law(planted_runs, options=Options(draws=40, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.draws, again.draws)
    np.testing.assert_array_equal(one.parameters, other.parameters)
    assert (one.draws != other.draws).any()


def test_runs_of_one_cell_share_their_sign(planted_runs: Runs) -> None:
    twice = planted_runs.take(np.repeat(np.arange(len(planted_runs)), 2))
    assert cells_of(twice).max() + 1 == len(planted_runs)
    once = fit_law(planted_runs, options=Options(draws=40))
    both = fit_law(twice, options=Options(draws=40))
    points = Points(np.array([1e9]), np.array([1e10]), np.array([0.5]))
    assert both.predict(points).width[0] > 0.8 * once.predict(points).width[0]


def test_an_outlier_hardly_moves_the_law(planted_runs: Runs) -> None:
    loss = planted_runs.loss.copy()
    loss[40] *= 1.3
    points = Points(np.array([1e9]), np.array([1e10]), np.array([0.5]))
    truth = TRUTH.loss(points.parameters, points.tokens, points.sparsity)
    options = Options(draws=0)
    robust = fit_law(replace(planted_runs, loss=loss), options=options)
    squares = fit_law(replace(planted_runs, loss=loss), options=Options(bend=1e3, draws=0))
    assert abs(robust.losses(points)[0] - truth)[0] < 0.004
    assert abs(squares.losses(points)[0] - truth)[0] > 2 * abs(robust.losses(points)[0] - truth)[0]


def test_a_law_of_granularity_comes_back() -> None:
    rng, n = np.random.default_rng(0), np.repeat(np.geomspace(1e8, 1e10, 6), 6)
    g, d = np.tile([1.0, 2, 4, 8, 16, 32], 6), rng.uniform(1e9, 1e11, 36)
    loss = (20 / g**0.6 + 10) / n**0.15 + 400 / d**0.25 + 0.5
    runs = Runs(n, d, np.full(36, 0.9), 0.6 * n * d, loss, granularity=g)
    law = fit_law(runs, GRANULARITY, Options(draws=0))
    found = {one.name: one.value for one in coefficients(law, runs)}
    for name, value in {"alpha": 0.15, "beta": 0.25, "gamma": 0.6, "g": 20, "a": 10, "e": 0.5}.items():
        assert found[name] == pytest.approx(value, rel=1e-3)


def test_runs_that_do_not_vary_are_refused(planted_runs: Runs) -> None:
    with pytest.raises(ConfigError, match="3 sparsities or more for the law sparsity"):
        fit_law(planted_runs.take(planted_runs.sparsity == 0).take(np.arange(18)))
    with pytest.raises(ConfigError, match="12 cells for the 10 parameters"):
        fit_law(planted_runs.take(np.arange(11)))
    with pytest.raises(ConfigError, match="2 granularities"):
        fit_law(planted_runs, GRANULARITY)


def test_costs_are_read_off_the_runs() -> None:
    runs = runs_of(0.0)
    assert Cost.of(runs).sparse == 1
    flops = 7 * runs.parameters**0.98 * (1 - 0.6 * runs.sparsity) * runs.tokens
    found = Cost.of(replace(runs, flops=flops))
    assert (found.factor, found.power, found.sparse) == pytest.approx((7, 0.98, 0.6), rel=1e-3)
    assert found.error < 1e-3
