"""Measures of how good attributions are."""

from modeldiff_core.evaluation.lds import Score, Scores, linear_datamodeling_score, scores_with_intervals

__all__ = [
    "Score",
    "Scores",
    "linear_datamodeling_score",
    "scores_with_intervals",
]
