"""The table of estimators: words, order, and which one the comparison rests on."""

import math
from dataclasses import replace

from modeldiff_core.report.estimators import estimator_rows
from modeldiff_core.report.facts import EstimatorFacts, EstimatorScore
from modeldiff_core.report.words import duration


def test_rows_in_words() -> None:
    lasso = EstimatorFacts(
        "lasso",
        "1,900 subset models",
        True,
        EstimatorScore(0.6604, 0.642, 0.674, 20.6),
        EstimatorScore(0.65, 0.63, 0.67, 1234.0),
    )
    other = EstimatorFacts(
        "difference_in_means",
        "20 models on all data",
        False,
        EstimatorScore(-0.0301, -0.05, 0.01, math.nan),
        EstimatorScore(math.nan, math.nan, math.nan, 0.02),
    )
    first, second = estimator_rows((lasso, other))
    assert (first.name, first.used, first.score_a) == ("lasso", True, "0.660 [0.642, 0.674]")
    assert (first.time_a, first.time_b) == ("0.34\u00a0min", "20.6\u00a0min")
    assert (second.name, second.used) == ("difference in means", False)
    assert (second.score_a, second.time_a) == ("−0.030 [−0.050, 0.010]", "—")
    assert (second.score_b, second.time_b) == ("— [—, —]", "< 0.01\u00a0min")
    assert [row.name for row in estimator_rows((replace(other, name="trak"),))] == ["TRAK"]
    assert estimator_rows(()) == []


def test_times_are_in_minutes() -> None:
    assert [duration(s) for s in (0.0, 0.3, 0.6, 599.0, 600.0, 7200.0)] == [
        "< 0.01\u00a0min",
        "< 0.01\u00a0min",
        "0.01\u00a0min",
        "9.98\u00a0min",
        "10.0\u00a0min",
        "120.0\u00a0min",
    ]
