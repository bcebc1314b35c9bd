"""Power: the critical difference against a count, and the models needed against what more models then show."""

import numpy as np
import pytest

from modeldiff_core.comparison import cross_fit, models_needed
from modeldiff_core.comparison.power import ModelsNeeded, critical_difference
from modeldiff_core.statistics import p_values


@pytest.mark.parametrize(("draws", "tests"), [(384, 16), (999, 4), (99, 2)])
def test_the_critical_difference_is_where_p_passes(draws: int, tests: int) -> None:
    null = np.random.default_rng(0).normal(size=draws)
    critical = critical_difference(null, tests, 0.05)
    assert critical is not None
    above, below = p_values(np.array([critical + 1e-9, critical - 1e-9]), null)
    assert tests * above <= 0.05 < tests * below


def test_too_few_draws_for_any_significance() -> None:
    assert critical_difference(np.zeros(100), 16, 0.05) is None
    assert models_needed(0.1, np.zeros(100), 1000, 16, 0.05) is None


def test_models_needed_by_hand() -> None:
    """Uniform draws in −1..1: c = 0.9, what chance reaches in one of five cases q = 0.6, deviation 1/√3."""
    null = np.linspace(-1, 1, 399)
    reached = 0.905 + 0.8416 * null.std()
    assert critical_difference(null, 1, 0.05) == pytest.approx(0.905, abs=0.01)
    assert critical_difference(null, 1, 0.2) == pytest.approx(0.605, abs=0.01)
    found = models_needed(0.8, null, 1000, 1, 0.05)
    assert found is not None
    assert found.models == pytest.approx(1000 * (reached / (0.8 - 0.605)) ** 2, rel=0.05)
    assert found.likely == pytest.approx(1000 * (reached / 0.8) ** 2, rel=0.03)
    assert models_needed(20.0, null, 1000, 1, 0.05) == ModelsNeeded(1000, 1000)
    for nothing in (0.6, 0.0, -0.1):
        assert models_needed(nothing, null, 1000, 1, 0.05) is None


RANK = 5


def differences(models: int, strength: float, seeds: range) -> np.ndarray:
    """Cross-fitted differences of the first direction where datamodels have errors of size 1/√m."""
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=(60, RANK)) @ rng.normal(size=(RANK, 80))
        own = strength * np.outer(rng.normal(size=60), np.ones(80) / np.sqrt(80))

        def fit(theta: np.ndarray, rng: np.random.Generator = rng) -> np.ndarray:
            return theta + 20 / np.sqrt(models) * rng.normal(size=theta.shape)

        a, b = ((fit(shared + own), fit(shared + own)), (fit(shared), fit(shared)))
        found.append(cross_fit(a, b, 1).difference[0])
    return np.array(found)


def test_as_many_models_find_what_few_missed() -> None:
    """The models that are told find a true difference in 80 % of repetitions, where the likely ones find it in half."""
    missed, null = differences(200, 3.0, range(20)), differences(200, 0.0, range(100, 300))
    typical = float(np.median(missed))
    needed = models_needed(typical, null, 200, 1, 0.05)
    critical = critical_difference(null, 1, 0.05)
    assert needed is not None
    assert critical is not None
    assert 0 < typical < critical, "it is missed with 200 models"
    assert 200 < needed.likely < needed.models < 20_000
    for models, least in ((needed.likely, 0.5), (needed.models, 0.8)):
        again = critical_difference(differences(models, 0.0, range(100, 300)), 1, 0.05)
        assert (differences(models, 3.0, range(20)) > again).mean() >= least


def test_nothing_is_told_where_nothing_differs() -> None:
    """Every null study told a number; what chance reaches in one of five tells none."""
    null = differences(200, 0.0, range(100, 300))
    told = [models_needed(float(d), null, 200, 1, 0.05) is not None for d in differences(200, 0.0, range(1000, 1100))]
    assert sum(told) <= 32, "20 % of 100, and three standard deviations"
