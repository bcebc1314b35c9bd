"""The algorithms that ship, and those that users register."""

from modeldiff_core.registry import Registry
from modeldiff_core.training.adversarial import Adversarial
from modeldiff_core.training.functions import FunctionAlgorithm
from modeldiff_core.training.modules import TorchRecipe
from modeldiff_core.training.pipelines import Pipeline
from modeldiff_core.training.protocol import Algorithm
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.sklearn_classifiers import SklearnClassifier
from modeldiff_core.training.token_networks import TokenNetwork

ALGORITHMS: Registry[type[Algorithm]] = Registry(
    "modeldiff.algorithms",
    "algorithm.kind",
    {
        "adversarial": Adversarial,
        "function": FunctionAlgorithm,
        "pipeline": Pipeline,
        "sgd": Sgd,
        "sklearn": SklearnClassifier,
        "token_network": TokenNetwork,
        "torch": TorchRecipe,
    },
)
"""Ways to train models by ``algorithm.kind``; others register under the entry-point group ``modeldiff.algorithms``."""
