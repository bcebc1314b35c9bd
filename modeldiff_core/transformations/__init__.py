"""Candidate transformations of images, and their effects on the predictions of two algorithms."""

from modeldiff_core.transformations.candidates import TransformationTest, build, build_on
from modeldiff_core.transformations.effects import (
    Changes,
    EffectSettings,
    changes,
    eligible_images,
    is_distinguishing,
    measure,
)
from modeldiff_core.transformations.judgment import Judged, Measured, judge, read
from modeldiff_core.transformations.library import TRANSFORMATIONS, Transformation
from modeldiff_core.transformations.search import SearchSettings

__all__ = [
    "TRANSFORMATIONS",
    "Changes",
    "EffectSettings",
    "Judged",
    "Measured",
    "SearchSettings",
    "Transformation",
    "TransformationTest",
    "build",
    "build_on",
    "changes",
    "eligible_images",
    "is_distinguishing",
    "judge",
    "measure",
    "read",
]
