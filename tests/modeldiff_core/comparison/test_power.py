"""Power: the critical difference against a count, and the models needed against what more models then show."""

import numpy as np
import pytest

from modeldiff_core.comparison import cross_fit, models_needed
from modeldiff_core.comparison.power import critical_difference
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


def test_models_needed() -> None:
    null = np.linspace(-1, 1, 399)
    assert critical_difference(null, 1, 0.05) == pytest.approx(0.905, abs=0.01)
    assert models_needed(0.45, null, 1000, 1, 0.05) == pytest.approx(4000, rel=0.03)
    assert models_needed(2.0, null, 1000, 1, 0.05) == 1000
    assert models_needed(-0.1, null, 1000, 1, 0.05) is None
    assert models_needed(0.0, null, 1000, 1, 0.05) is None


def test_as_many_models_find_what_few_missed() -> None:
    """Datamodels with errors of size 1/√m: m models just miss the difference, as many as it was said to take do not."""

    def differences(models: int, strength: float, seeds: range) -> np.ndarray:
        found = []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            shared = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 80))
            own = strength * np.outer(rng.normal(size=60), np.ones(80) / np.sqrt(80))

            def fit(theta: np.ndarray, rng: np.random.Generator = rng) -> np.ndarray:
                return theta + 20 / np.sqrt(models) * rng.normal(size=theta.shape)

            a, b = ((fit(shared + own), fit(shared + own)), (fit(shared), fit(shared)))
            found.append(cross_fit(a, b, 1).difference[0])
        return np.array(found)

    missed, null = differences(200, 3.0, range(20)), differences(200, 0.0, range(100, 300))
    typical = float(np.median(missed))
    needed = models_needed(typical, null, 200, 1, 0.05)
    critical = critical_difference(null, 1, 0.05)
    assert needed is not None
    assert critical is not None
    assert 0 < typical < critical, "it is missed with 200 models"
    assert 200 < needed < 20_000
    again = critical_difference(differences(needed, 0.0, range(100, 300)), 1, 0.05)
    assert (differences(needed, 3.0, range(20)) > again).mean() > 0.5
