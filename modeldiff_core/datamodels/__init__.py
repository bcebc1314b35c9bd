"""Estimators of attributions: from masks and margins, models trained on all data, or derivatives of training."""

from modeldiff_core.datamodels.estimators import ESTIMATORS
from modeldiff_core.datamodels.lasso import fit_lasso
from modeldiff_core.datamodels.least_squares import fit_least_squares
from modeldiff_core.datamodels.means import fit_difference_in_means
from modeldiff_core.datamodels.protocol import Estimator, FromCheckpoints, FromMasks, FromTrainings, Refit
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.datamodels.ridge import fit_ridge

__all__ = [
    "ESTIMATORS",
    "Datamodels",
    "Estimator",
    "FromCheckpoints",
    "FromMasks",
    "FromTrainings",
    "Refit",
    "fit_difference_in_means",
    "fit_lasso",
    "fit_least_squares",
    "fit_ridge",
]
