"""The HTML report of a comparison and its figures."""

from modeldiff_core.report.facts import (
    AlgorithmFacts,
    CurveFacts,
    DirectionFacts,
    EffectFacts,
    EndFacts,
    EstimatorFacts,
    EstimatorScore,
    LearningFacts,
    ReportFacts,
)
from modeldiff_core.report.html import render

__all__ = [
    "AlgorithmFacts",
    "CurveFacts",
    "DirectionFacts",
    "EffectFacts",
    "EndFacts",
    "EstimatorFacts",
    "EstimatorScore",
    "LearningFacts",
    "ReportFacts",
    "render",
]
