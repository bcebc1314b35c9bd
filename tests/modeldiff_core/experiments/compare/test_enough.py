"""A low score is said first, with the number of models that it takes by the law of the learning curve."""

import math

import numpy as np
import pytest

from modeldiff_core.evaluation.law import FittedCurve, LearningCurve
from modeldiff_core.experiments.compare.enough import LOW, low_scores

HELD = 20


def curve(plateau: float, missing: float, rate: float, points: int = 12) -> LearningCurve:
    models = np.unique(np.geomspace(20, 180, points).round().astype(int))
    noise = np.random.default_rng(0).normal(0, 1e-4, (len(models), 50))
    return LearningCurve(models, (plateau - missing * (models / 20.0) ** -rate)[:, None] + noise)


def said(scores: dict[str, float], found: LearningCurve | None) -> list[str]:
    return low_scores({name: (score, found) for name, score in scores.items()}, 200, HELD)


def test_nothing_is_said_of_good_scores() -> None:
    assert said({}, None) == []


def test_a_low_score_says_how_many_models_the_wished_one_takes() -> None:
    made = curve(0.8, 0.8, 0.3)
    (sentence,) = said({"early": 0.15}, made)
    assert sentence.startswith("Too few models to rely on what follows: with 200 the datamodels hardly predict")
    assert "early: score 0.15, a score of 0.3 takes about " in sentence
    needed = FittedCurve.of(made).models(LOW).value + HELD
    assert needed > 20
    number = int(sentence.partition("takes about ")[2].partition(" models")[0].replace(",", ""))
    assert number == pytest.approx(needed, abs=6)


def test_a_score_that_no_number_reaches_is_said_to_be_out_of_reach() -> None:
    made = curve(0.2, 0.19, 0.8)
    assert math.isinf(FittedCurve.of(made).models(LOW).value)
    (sentence,) = said({"early": 0.15, "late": 0.1}, made)
    assert sentence.count("by the law of its curve no number of models reaches 0.3") == 2


def test_without_enough_points_that_is_said() -> None:
    for found in (None, curve(0.8, 0.8, 0.3, points=3)):
        (sentence,) = said({"early": 0.15}, found)
        assert "too few points of its curve to say how many models a score of 0.3 takes" in sentence
