"""Residual datamodels, their principal directions, and what is real about them."""

from modeldiff_core.comparison.crossfit import CrossFit, cross_fit, subpopulation_overlap
from modeldiff_core.comparison.parts import part_differences
from modeldiff_core.comparison.pca import ResidualPCA, residual_crossfit, residual_pca, variance_along
from modeldiff_core.comparison.permutation import (
    CommonFits,
    Method,
    Pairs,
    common_fits,
    permuted_differences,
)
from modeldiff_core.comparison.power import ModelsNeeded, models_needed
from modeldiff_core.comparison.representations import (
    ResidualRepresentation,
    canonical_correlations,
    linear_cka,
    mean_cca,
    residual_representation,
)
from modeldiff_core.comparison.residuals import residual, similarity
from modeldiff_core.comparison.subpopulations import extremes

__all__ = [
    "CommonFits",
    "CrossFit",
    "Method",
    "ModelsNeeded",
    "Pairs",
    "ResidualPCA",
    "ResidualRepresentation",
    "canonical_correlations",
    "common_fits",
    "cross_fit",
    "extremes",
    "linear_cka",
    "mean_cca",
    "models_needed",
    "part_differences",
    "permuted_differences",
    "residual",
    "residual_crossfit",
    "residual_pca",
    "residual_representation",
    "similarity",
    "subpopulation_overlap",
    "variance_along",
]
