"""Candidate transformations of images, and their effects on the predictions of two algorithms."""

from modeldiff_core.transformations.candidates import TransformationTest, build
from modeldiff_core.transformations.effects import (
    EffectSettings,
    eligible_images,
    is_distinguishing,
    measure,
    probability_change,
)
from modeldiff_core.transformations.library import TRANSFORMATIONS, Transformation
from modeldiff_core.transformations.uncertainty import Difference, Interval, difference_test, holm, two_way_interval

__all__ = [
    "TRANSFORMATIONS",
    "Difference",
    "EffectSettings",
    "Interval",
    "Transformation",
    "TransformationTest",
    "build",
    "difference_test",
    "eligible_images",
    "holm",
    "is_distinguishing",
    "measure",
    "probability_change",
    "two_way_interval",
]
