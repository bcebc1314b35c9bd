"""The law of a learning curve recovered from points that follow it, and what it says of a score that was wished for."""

import math

import numpy as np
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.law import FittedCurve, LearningCurve, fit_law

MODELS = np.array([100, 150, 220, 330, 500, 750, 1100, 1700, 2500])


def curve(noise: float = 0.0, targets: int = 80) -> LearningCurve:
    rng = np.random.default_rng(1)
    mean = 0.8 - 0.5 * (MODELS / 100) ** -0.5
    spread = rng.normal(size=targets)
    spread -= spread.mean()
    return LearningCurve(MODELS, mean[:, None] + 0.1 * spread + noise * rng.normal(size=(len(MODELS), targets)))


def test_the_law_is_recovered() -> None:
    law = fit_law(
        LearningCurve(MODELS, curve().scores - curve().scores.mean() + (0.8 - 0.5 * (MODELS / 100) ** -0.5).mean())
    )
    assert law.first == MODELS[len(MODELS) // 3]
    assert law.plateau == pytest.approx(0.8, abs=1e-4)
    assert law.rate == pytest.approx(0.5, abs=1e-3)
    for models in (330.0, 2500.0, 10_000.0):
        assert law.score(models) == pytest.approx(0.8 - 0.5 * (models / 100) ** -0.5, abs=1e-4)
        assert law.models(law.score(models)) == pytest.approx(models, rel=1e-6)
    assert law.models(0.81) == math.inf
    assert law.models(0.1) == law.first


def test_the_interval_holds_what_more_targets_would_say() -> None:
    fitted = FittedCurve.of(curve(noise=0.05))
    truth = 0.8 - 0.5 * (5000 / 100) ** -0.5
    found = fitted.score(5000.0)
    assert found.low < truth < found.high
    assert 0.005 < found.high - found.low < 0.2
    needed = fitted.models(0.7)
    assert needed.low < 2500 < needed.high
    assert needed.low < needed.value < needed.high


def test_a_score_above_the_plateau_is_out_of_reach() -> None:
    fitted = FittedCurve.of(curve(noise=0.02))
    assert fitted.plateau.high < 0.95
    assert fitted.models(0.97).low == math.inf
    assert math.isfinite(fitted.models(0.6).high)


def test_too_few_points_are_said_with_what_to_do() -> None:
    few = LearningCurve(MODELS[:5], curve().scores[:5])
    with pytest.raises(ConfigError, match=r"subsets\.models: expected a learning curve of at least 6 points, got 5"):
        FittedCurve.of(few)
