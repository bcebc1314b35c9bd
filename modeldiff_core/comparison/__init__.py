"""Residual datamodels, their principal directions, and what is real about them."""

from modeldiff_core.comparison.crossfit import CrossFit, cross_fit
from modeldiff_core.comparison.pca import ResidualPCA, residual_pca, variance_along
from modeldiff_core.comparison.permutation import Pairs, common_fits, p_values, permuted_differences
from modeldiff_core.comparison.residuals import residual, similarity
from modeldiff_core.comparison.subpopulations import extremes

__all__ = [
    "CrossFit",
    "Pairs",
    "ResidualPCA",
    "common_fits",
    "cross_fit",
    "extremes",
    "p_values",
    "permuted_differences",
    "residual",
    "residual_pca",
    "similarity",
    "variance_along",
]
