"""Candidate transformations of images, and their effects on the predictions of two algorithms."""

from modeldiff_core.comparison.multiplicity import holm
from modeldiff_core.transformations.candidates import TransformationTest, build, build_on
from modeldiff_core.transformations.effects import (
    Changes,
    EffectSettings,
    changes,
    eligible_images,
    is_distinguishing,
    measure,
)
from modeldiff_core.transformations.judgement import Judged, Measured, judge, read
from modeldiff_core.transformations.library import TRANSFORMATIONS, Transformation
from modeldiff_core.transformations.search import SearchSettings
from modeldiff_core.transformations.uncertainty import Difference, Interval, difference_test, two_way_interval

__all__ = [
    "TRANSFORMATIONS",
    "Changes",
    "Difference",
    "EffectSettings",
    "Interval",
    "Judged",
    "Measured",
    "SearchSettings",
    "Transformation",
    "TransformationTest",
    "build",
    "build_on",
    "changes",
    "difference_test",
    "eligible_images",
    "holm",
    "is_distinguishing",
    "judge",
    "measure",
    "read",
    "two_way_interval",
]
