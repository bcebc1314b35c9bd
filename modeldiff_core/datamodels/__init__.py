"""Estimators of attributions from masks and margins."""

from modeldiff_core.datamodels.lasso import fit_lasso
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.datamodels.ridge import fit_ridge

__all__ = ["Datamodels", "fit_lasso", "fit_ridge"]
