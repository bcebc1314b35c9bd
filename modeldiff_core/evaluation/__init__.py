"""How good attributions are."""

from modeldiff_core.evaluation.lds import Score, linear_datamodeling_score, score_with_interval

__all__ = ["Score", "linear_datamodeling_score", "score_with_interval"]
