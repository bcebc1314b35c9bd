"""Training on subsets: the contract of an algorithm, the trainers that ship with the platform, and shards of models."""

from modeldiff_core.training.algorithms import ALGORITHMS
from modeldiff_core.training.gradients import Differentiable
from modeldiff_core.training.protocol import Algorithm, Execution, SizedAlgorithm, TrainedModels
from modeldiff_core.training.shards import Task, train_ensemble, train_subset_models

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Differentiable",
    "Execution",
    "SizedAlgorithm",
    "Task",
    "TrainedModels",
    "train_ensemble",
    "train_subset_models",
]
