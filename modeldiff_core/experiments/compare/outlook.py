"""What the learning curves in a store say of more models."""

from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.report.learning import learning_words
from modeldiff_core.stages.curve import Curve, read_curve
from modeldiff_core.store import ObjectStore


def learned(comparison: Comparison, store: ObjectStore) -> list[str]:
    """Return a sentence for each algorithm whose learning curve is there."""
    subsets, said = comparison.study.subsets, []
    for training in comparison.trainings:
        curve = read_curve(store, Curve.of(comparison.study, training), subsets.models)
        if curve is not None:
            wished = subsets.rounds.wished_score
            said.append(learning_words(training.algorithm.name, curve, subsets.evaluation_models, wished))
    return said
