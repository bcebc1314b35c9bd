"""Scaling laws of mixtures of experts: from a table of runs to laws, optima and advice, each with an interval.

``runs`` is what goes in: one row a trained model. Nothing here trains, stores or draws.
"""

from modeldiff_core.scaling.runs import Runs

__all__ = ["Runs"]
