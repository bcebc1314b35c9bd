"""The estimators that ship, and those that users register."""

from modeldiff_core.datamodels.lasso import Lasso
from modeldiff_core.datamodels.least_squares import LeastSquares
from modeldiff_core.datamodels.means import DifferenceInMeans
from modeldiff_core.datamodels.metagradient import Metagradient
from modeldiff_core.datamodels.protocol import Estimator
from modeldiff_core.datamodels.ridge import Ridge
from modeldiff_core.datamodels.trak import Trak
from modeldiff_core.registry import Registry

ESTIMATORS: Registry[type[Estimator]] = Registry(
    "modeldiff.estimators",
    "regression.estimator",
    {
        "lasso": Lasso,
        "ridge": Ridge,
        "least_squares": LeastSquares,
        "difference_in_means": DifferenceInMeans,
        "metagradient": Metagradient,
        "trak": Trak,
    },
)
"""Estimators by ``regression.estimator``; others register under the entry-point group ``modeldiff.estimators``."""
