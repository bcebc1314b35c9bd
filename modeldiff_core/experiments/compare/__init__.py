"""Comparison of two learning algorithms by the datamodels of their models."""

from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.experiment import Compare

__all__ = ["Compare", "Comparison"]
