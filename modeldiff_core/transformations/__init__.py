"""Candidate transformations of images, and their effects on the predictions of two algorithms."""

from modeldiff_core.comparison.multiplicity import holm
from modeldiff_core.transformations.candidates import TransformationTest, build
from modeldiff_core.transformations.effects import (
    Changes,
    EffectSettings,
    changes,
    eligible_images,
    is_distinguishing,
    measure,
)
from modeldiff_core.transformations.library import TRANSFORMATIONS, Transformation, on_examples
from modeldiff_core.transformations.uncertainty import Difference, Interval, difference_test, two_way_interval

__all__ = [
    "TRANSFORMATIONS",
    "Changes",
    "Difference",
    "EffectSettings",
    "Interval",
    "Transformation",
    "TransformationTest",
    "build",
    "changes",
    "difference_test",
    "eligible_images",
    "holm",
    "is_distinguishing",
    "measure",
    "on_examples",
    "two_way_interval",
]
