"""Training functions of a user's own: what they are made of, how they are called, what their models are asked."""

from modeldiff_core.training.functions.algorithm import KIND, FunctionAlgorithm, register
from modeldiff_core.training.functions.form import Form
from modeldiff_core.training.functions.source import Described, describe

__all__ = ["KIND", "Described", "Form", "FunctionAlgorithm", "describe", "register"]
