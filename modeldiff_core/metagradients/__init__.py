"""Derivatives of whole trainings with respect to a weight on every training example."""

from modeldiff_core.metagradients.algorithms import (
    Calculus,
    DifferentiableAlgorithm,
    check_differentiable,
    process_of,
)
from modeldiff_core.metagradients.point import Point
from modeldiff_core.metagradients.process import Batch, Process
from modeldiff_core.metagradients.products import forward_products, reverse_products
from modeldiff_core.metagradients.trajectory import Trajectory

__all__ = [
    "Batch",
    "Calculus",
    "DifferentiableAlgorithm",
    "Point",
    "Process",
    "Trajectory",
    "check_differentiable",
    "forward_products",
    "process_of",
    "reverse_products",
]
