"""What the learning curves in a store say: how far an adaptive study has come, and what more models would give."""

from dataclasses import dataclass, replace

from modeldiff_core.errors import DamagedObject
from modeldiff_core.evaluation.law import LEAST_POINTS
from modeldiff_core.evaluation.rounds import has_saturated
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.report.learning import learning_words
from modeldiff_core.stages.curve import Curve, read_curve
from modeldiff_core.store import ObjectStore
from modeldiff_core.study.config import SubsetConfig


@dataclass(frozen=True)
class Round:
    """A round of an adaptive study.

    Attributes:
        comparison: The plain study with the models trained so far.
        last: Whether the study ends here.
        damage: Why the round is not complete, where that is a damaged point of a curve.
    """

    comparison: Comparison
    last: bool
    damage: DamagedObject | None = None


def current_round(store: ObjectStore, comparison: Comparison) -> Round:
    """Return the first round whose points are not all in the store, or the one that the study ends with.

    The first takes as many models as the law of the curve needs points. A plain study is its own last round.
    """
    subsets = comparison.study.subsets
    if not subsets.adaptive:
        return Round(comparison, True)
    curves = [Curve.of(comparison.study, training) for training in comparison.trainings]
    sizes = curves[0].sizes(subsets.models)
    rounds = sizes[LEAST_POINTS - 1 :] or sizes[-1:]
    for models in rounds:
        try:
            found = [read_curve(store, curve, models) for curve in curves]
        except DamagedObject as error:
            return Round(settled(comparison, models), False, error)
        points = len(curves[0].sizes(models))
        complete = [curve for curve in found if curve is not None and len(curve.models) == points]
        if len(complete) < len(curves):
            return Round(settled(comparison, models), False)
        if has_saturated(complete, subsets.rounds.growth, subsets.rounds.least_gain):
            return Round(settled(comparison, models), True)
    return Round(settled(comparison, rounds[-1]), True)


def settled(comparison: Comparison, models: int) -> Comparison:
    """Return the plain comparison with this many models; its trainings are the same."""
    study = comparison.study
    return replace(comparison, study=study.model_copy(update={"subsets": study.subsets.settled(models)}))


def ending(asked: SubsetConfig, models: int) -> str:
    """Return how the rounds of an adaptive design ended, in words."""
    if models == asked.models:
        return f"rounds ended at all of the {models:,} models that subsets.models allows"
    rounds = asked.rounds
    return (
        f"rounds ended at {models:,} of at most {asked.models:,} models: {rounds.growth:g} times as many would raise "
        f"neither score by {rounds.least_gain:g}"
    )


def learned(comparison: Comparison, store: ObjectStore) -> list[str]:
    """Return a sentence for each algorithm whose learning curve is there."""
    subsets, said = comparison.study.subsets, []
    for training in comparison.trainings:
        curve = read_curve(store, Curve.of(comparison.study, training), subsets.models)
        if curve is not None:
            wished = subsets.rounds.wished_score
            said.append(learning_words(training.algorithm.name, curve, subsets.evaluation_models, wished))
    return said
