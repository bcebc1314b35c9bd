"""Whether a comparison has enough models: a low score is reported before all findings."""

import math
from collections.abc import Mapping
from typing import Any

from modeldiff_core.evaluation.law import LEAST_POINTS, FittedCurve, LearningCurve
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.stages.curve import Curve, read_curve
from modeldiff_core.store import ObjectStore

LOW = 0.3
"""Linear datamodeling score below which datamodels are mostly noise, and what is not found says little."""
ROUNDED = 10
"""Numbers of models are said in tens."""


def about_enough(comparison: Comparison, summary: Mapping[str, Any], store: ObjectStore) -> list[str]:
    """Return a sentence if the score of an algorithm is below LOW; it is no part of the stored summary."""
    low = {which: score for which in comparison.sides if (score := float(summary["lds"][which]["corrected"])) < LOW}
    subsets = comparison.study.subsets
    found = {
        comparison.names[which]: (
            score,
            read_curve(store, Curve.of(comparison.study, comparison.sides[which]), subsets.models),
        )
        for which, score in low.items()
    }
    return low_scores(found, subsets.models, subsets.evaluation_models)


def low_scores(found: Mapping[str, tuple[float, LearningCurve | None]], models: int, held: int) -> list[str]:
    """Return a sentence about scores below LOW: how many models a score of LOW takes by the law of each curve.

    Args:
        found: Score and learning curve by the names of algorithms; nothing is said of an empty mapping.
        models: Models that were trained.
        held: Those of them that were held out.
    """
    if not found:
        return []
    said = [f"{name}: score {score:.2f}, {_needed(curve, held)}" for name, (score, curve) in found.items()]
    return [
        f"Too few models to rely on what follows: with {models:,} the datamodels hardly predict models that they never "
        f"saw ({'; '.join(said)}), so that a difference may well be there and not be found."
    ]


def _needed(curve: LearningCurve | None, held: int) -> str:
    if curve is None or len(curve.models) < LEAST_POINTS:
        return f"too few points of its curve to say how many models a score of {LOW:g} takes"
    needed = FittedCurve.of(curve).models(LOW)
    if math.isinf(needed.value):
        return f"and by the law of its curve no number of models reaches {LOW:g}"
    about, low, high = (_words(end, held) for end in (needed.value, needed.low, needed.high))
    return f"a score of {LOW:g} takes about {about} models by the law of its curve [{low}, {high}]"


def _words(fitted: float, held: int) -> str:
    return "out of reach" if math.isinf(fitted) else f"{round((fitted + held) / ROUNDED) * ROUNDED:,}"
