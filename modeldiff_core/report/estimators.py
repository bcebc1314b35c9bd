"""The table of estimators: how well each predicts unseen models, and how long it took."""

from dataclasses import dataclass

from modeldiff_core.report.facts import EstimatorFacts, EstimatorScore
from modeldiff_core.report.words import duration, number

NAMES = {"metagradient": "metagradients", "trak": "TRAK"}


@dataclass(frozen=True)
class EstimatorRow:
    """One line of the table, in words."""

    name: str
    source: str
    used: bool
    score_a: str
    score_b: str
    time_a: str
    time_b: str


def estimator_rows(estimators: tuple[EstimatorFacts, ...]) -> list[EstimatorRow]:
    """Return a row an estimator, in the order given."""
    return [
        EstimatorRow(
            name=NAMES.get(one.name, one.name.replace("_", " ")),
            source=one.source,
            used=one.used,
            score_a=_score(one.a),
            score_b=_score(one.b),
            time_a=duration(one.a.seconds),
            time_b=duration(one.b.seconds),
        )
        for one in estimators
    ]


def _score(score: EstimatorScore) -> str:
    return f"{number(score.mean, 3)} [{number(score.low, 3)}, {number(score.high, 3)}]"
