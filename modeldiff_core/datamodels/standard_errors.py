"""Standard errors of the weights of ridge and of least squares."""

import numpy as np
import torch
from jaxtyping import Bool, Float

from modeldiff_core.datamodels.gram import co_occurrence
from modeldiff_core.datamodels.moments import check_regression_input
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.datamodels.spectrum import spectrum
from modeldiff_core.errors import ConfigError


def weight_errors(
    masks: Bool[np.ndarray, "models train"], margins: Float[np.ndarray, "rows targets"], fitted: Datamodels
) -> Float[np.ndarray, "targets train"]:
    """Return the standard error of each weight over masks drawn again.

    With G the centered second moments of m masks, λ the penalty and A = G + λI: the square root of the diagonal of
    σ²·A⁻¹GA⁻¹/m, where σ² = RSS/(m − 1 − tr GA⁻¹). What the penalty takes off a weight is not in it, which is little as
    long as λ is small beside the mean of G's diagonal. Computed in float64.

    Raises ConfigError for masks and margins that cannot be fitted, and for fewer masks than the fit has parameters.
    """
    check_regression_input(masks, margins)
    models = len(masks)
    found = spectrum(co_occurrence(masks), models)
    squares = found.vectors.square()
    residuals = torch.from_numpy(margins.astype(np.float64) - masks @ fitted.weights.T.astype(np.float64) - fitted.bias)
    power = residuals.square().sum(0)
    errors = np.zeros(fitted.weights.shape, np.float64)
    for penalty in np.unique(fitted.lambdas):
        at = fitted.lambdas == penalty
        shrunk = torch.where(found.values > 1e-12, found.values / (found.values + float(penalty)).square(), 0.0)
        freedom = models - 1 - float((found.values / (found.values + float(penalty)).clamp(min=1e-300)).sum())
        if freedom <= 0:
            raise ConfigError("ablation.rows", f"more than {masks.shape[1] + 1} rows for standard errors", models)
        variances = (squares @ shrunk)[None] * (power[torch.from_numpy(at)] / freedom / models)[:, None]
        errors[at] = variances.sqrt().numpy()
    return errors.astype(np.float32)
