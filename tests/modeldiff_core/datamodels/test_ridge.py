"""Ridge regression against scikit-learn's, and its choice of the penalty."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from modeldiff_core.datamodels import fit_ridge
from modeldiff_core.datamodels.gram import co_occurrence
from modeldiff_core.datamodels.moments import validation_split
from modeldiff_core.datamodels.ridge import Ridge as OurRidge
from modeldiff_core.errors import ConfigError
from modeldiff_core.statistics.replicates import Replicates

Awkward = Callable[[np.ndarray], np.ndarray]


@pytest.mark.parametrize(("models", "train"), [(300, 50), (50, 90)])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("penalty", [0.003, 0.1, 3.0])
def test_weights_are_those_of_scikit_learn(
    planted: Callable[..., Any], models: int, train: int, fraction: float, penalty: float
) -> None:
    """Its objective is ‖y − b − Xw‖² + alpha·‖w‖², so alpha = m·λ."""
    problem = planted(models, train, fraction)
    fit = fit_ridge(problem.masks, problem.margins, penalties=(penalty,))
    best = Ridge(alpha=penalty * models, solver="cholesky").fit(
        problem.masks.astype(float), problem.margins.astype(float)
    )
    scale = np.abs(best.coef_).max()
    assert scale > 0.01
    np.testing.assert_allclose(fit.weights, best.coef_, atol=1e-6 * scale)
    np.testing.assert_allclose(fit.bias, best.intercept_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fit.predict(problem.masks), best.predict(problem.masks), rtol=1e-5, atol=1e-5)
    assert (fit.lambdas == np.float32(penalty)).all()
    assert np.isnan(fit.duality_gap).all()


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("models", "train"), [(80, 40), (40, 80), (60, 60)])
def test_ill_conditioned_masks(
    planted: Callable[..., Any], awkward: Awkward, models: int, train: int, fraction: float
) -> None:
    """Examples that are always or never left in have weight 0, duplicates share theirs."""
    problem = planted(models, train, fraction)
    masks = awkward(problem.masks)
    fit = fit_ridge(masks, problem.margins, penalties=(0.003,))
    best = Ridge(alpha=0.003 * models, solver="svd").fit(masks.astype(float), problem.margins.astype(float))
    np.testing.assert_allclose(fit.weights, best.coef_, atol=1e-6 * np.abs(best.coef_).max())
    np.testing.assert_allclose(fit.bias, best.intercept_, rtol=1e-6, atol=1e-6)
    assert np.abs(fit.weights[:, 3:5]).max() < 1e-12
    assert fit.weights[:, 0].any()
    np.testing.assert_allclose(fit.weights[:, 1], fit.weights[:, 0], rtol=1e-5)


def test_both_algorithms_are_refitted_at_one_penalty(planted: Callable[..., Any]) -> None:
    """A's and B's exchanged margins are then treated alike, and counts that are known change nothing."""
    problem, other = planted(200, 40, noise=0.1), planted(200, 40, noise=3.0)
    a, b = (OurRidge().prepare(p.masks, None)(p.margins) for p in (problem, other))
    assert (a.lambdas < b.lambdas).all()
    refit = OurRidge().common(a, b)
    found = refit(problem.masks, problem.margins, None)
    for target in range(3):
        alpha = 200 * np.sqrt(float(a.lambdas[target]) * float(b.lambdas[target]))
        best = Ridge(alpha=alpha).fit(problem.masks.astype(float), problem.margins[:, target].astype(float))
        np.testing.assert_allclose(found[target], best.coef_, atol=1e-6 * np.abs(best.coef_).max())
    np.testing.assert_array_equal(refit(problem.masks, problem.margins, co_occurrence(problem.masks)), found)


def test_the_penalty_is_the_one_of_least_error_on_held_out_models(planted: Callable[..., Any]) -> None:
    penalties = (0.003, 0.03, 0.3, 3.0)
    quiet, loud = planted(300, 60, noise=0.05), planted(300, 60, noise=3.0, seed=0)
    margins = np.concatenate([quiet.margins, loud.margins], 1)
    fit = fit_ridge(quiet.masks, margins, penalties=penalties, seed=2)
    fitted, held = validation_split(Replicates.single(300), 0.1, 2)
    scores = []
    for penalty in penalties:
        model = Ridge(alpha=penalty * len(fitted)).fit(quiet.masks[fitted].astype(float), margins[fitted].astype(float))
        scores.append(r2_score(margins[held], model.predict(quiet.masks[held].astype(float)), multioutput="raw_values"))
    expected = np.array(penalties, np.float32)[np.argmax(scores, 0)]
    assert len(set(expected)) > 1, "quiet and loud targets should want different penalties"
    np.testing.assert_array_equal(fit.lambdas, expected)
    np.testing.assert_allclose(fit.validation_r2, np.max(scores, 0), atol=1e-4)
    assert (fit.lambdas[:3] < fit.lambdas[3:]).all()


def test_planted_weights_are_recovered(planted: Callable[..., Any]) -> None:
    problem = planted(3000, 60, noise=0.1)
    fit = fit_ridge(problem.masks, problem.margins)
    for mine, true in zip(fit.weights, problem.weights, strict=True):
        assert np.corrcoef(mine, true)[0, 1] > 0.99
    assert fit.validation_r2.min() > 0.9


def test_a_constant_margin_has_no_weights(planted: Callable[..., Any]) -> None:
    problem = planted(50, 20)
    margins = problem.margins.copy()
    margins[:, 0] = 0.1
    fit = fit_ridge(problem.masks, margins)
    assert fit.weights[1].any()
    assert not fit.weights[0].any()
    assert fit.bias[0] == np.float32(0.1)


@pytest.mark.parametrize("penalties", [(), (0.1, 0.0), (-1.0,), (float("nan"),)])
def test_penalties_that_are_not_positive_are_refused(planted: Callable[..., Any], penalties: tuple[float, ...]) -> None:
    problem = planted(20, 5)
    with pytest.raises(ConfigError) as caught:
        fit_ridge(problem.masks, problem.margins, penalties=penalties)
    assert caught.value.key == "regression.penalties"


def test_a_share_held_out_that_leaves_nothing_is_refused(planted: Callable[..., Any]) -> None:
    problem = planted(20, 5)
    with pytest.raises(ConfigError, match=r"regression\.validation_fraction"):
        fit_ridge(problem.masks, problem.margins, validation_fraction=1.0)
