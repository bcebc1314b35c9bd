"""The algorithms that ship, and those that users register."""

from modeldiff_core.registry import Registry
from modeldiff_core.training.protocol import Algorithm
from modeldiff_core.training.sklearn_classifiers import SklearnClassifier
from modeldiff_core.training.stacked import StackedSgd

ALGORITHMS: Registry[type[Algorithm]] = Registry(
    "modeldiff.algorithms", "algorithm.kind", {"sgd": StackedSgd, "sklearn": SklearnClassifier}
)
