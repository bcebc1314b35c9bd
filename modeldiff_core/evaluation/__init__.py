"""Measures of how good attributions are."""

from modeldiff_core.evaluation.lds import (
    Score,
    Scores,
    TargetScores,
    linear_datamodeling_score,
    scores_with_intervals,
    target_scores,
)

__all__ = [
    "Score",
    "Scores",
    "TargetScores",
    "linear_datamodeling_score",
    "scores_with_intervals",
    "target_scores",
]
