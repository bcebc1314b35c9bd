"""A study: its validated configuration, its two trainings, and what can be wrong with it."""

from modeldiff_core.study.build import build_algorithm, build_estimator, load_dataset
from modeldiff_core.study.config import StudyConfig, parse_study
from modeldiff_core.study.trainings import Training, target_examples, trainings_of

__all__ = [
    "StudyConfig",
    "Training",
    "build_algorithm",
    "build_estimator",
    "load_dataset",
    "parse_study",
    "target_examples",
    "trainings_of",
]
