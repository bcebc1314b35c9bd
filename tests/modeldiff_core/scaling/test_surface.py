"""Surfaces of single budgets: planted polynomials, optima inside and on the edge."""

import numpy as np
import pytest

from harness.planted_laws import SPARSITIES, Planted, grid
from modeldiff_core.errors import ConfigError
from modeldiff_core.scaling import Runs
from modeldiff_core.scaling.budgets import budgets_of
from modeldiff_core.scaling.rates import best_rates
from modeldiff_core.scaling.surface import fit_surface

SIZES = np.geomspace(3e8, 1e10, 6)


def polynomial_runs(noise: float = 0.0) -> Runs:
    """Losses that are lowest at s = 1 + n/2, with n from 0 to 1 over the sizes."""
    n, s, c = grid(SIZES, SPARSITIES, (1e20,)).T
    place = np.log(n / SIZES[0]) / np.log(SIZES[-1] / SIZES[0])
    depth = -np.log1p(-s)
    loss = 2.5 + 0.05 * (depth - 1 - place / 2) ** 2 + 0.2 * (place - 0.5) ** 2
    loss += noise * np.random.default_rng(0).normal(size=len(n))
    return Runs(n, c / (6 * (1 - s) * n), s, c, loss)


def test_a_planted_polynomial_comes_back_with_its_optima() -> None:
    surface = fit_surface(polynomial_runs(0.001), draws=50)
    found = surface.best_sparsity(SIZES[[0, -1]])
    np.testing.assert_allclose(found.best.value, 1 - np.exp([-1.0, -1.5]), atol=0.02)
    assert (found.best.low <= 1 - np.exp([-1.0, -1.5])).all()
    assert (found.best.width < 0.1).all()
    assert (found.edge == 0).all()
    assert surface.correlation > 0.99
    assert surface.error < 0.003


def test_optima_on_the_edge_are_flagged() -> None:
    runs = Planted().runs(grid(SIZES, SPARSITIES, (3e19,)), 0.0, np.random.default_rng(0))
    found = fit_surface(runs, draws=40).best_sparsity(SIZES)
    assert found.edge[-1] == 1
    assert found.best.value[-1] == pytest.approx(0.98)
    assert found.edge[0] == 0


def test_few_cells_are_refused() -> None:
    with pytest.raises(ConfigError, match="8 cells of a budget"):
        fit_surface(polynomial_runs().take(np.arange(7)))


def test_budgets_are_runs_of_about_the_same_flops() -> None:
    one = np.ones(4)
    runs = Runs(1e8 * one, 1e9 * one, 0 * one, np.array([1e19, 3e19, 1.05e19, 2.9e19]), 3 * one)
    budgets, number = budgets_of(runs)
    np.testing.assert_array_equal(number, [0, 1, 0, 1])
    np.testing.assert_allclose(budgets, [1.0247e19, 2.9496e19], rtol=1e-4)


def test_the_best_rate_of_each_cell_is_taken_and_edges_are_counted() -> None:
    loss = np.array([3.0, 2.9, 3.1, 2.8, 2.7, 3.3, 3.2])
    one = np.ones(7)
    rate = np.array([1, 2, 3, 1, 2, 1, 1]) * 1e-3
    runs = Runs(np.array([1, 1, 1, 2, 2, 3, 3]) * 1e8, 1e9 * one, 0 * one, 1e18 * one, loss, rate=rate)
    chosen, told = best_rates(runs)
    np.testing.assert_array_equal(chosen.loss, [2.9, 2.7, 3.3, 3.2])
    assert told[0].startswith("2 cells were trained at several learning rates")
    assert told[1].startswith("In 1 of these cells")
    assert best_rates(chosen) == (chosen, ())
