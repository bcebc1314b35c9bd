"""Datamodels: what an estimator of attributions returns, whichever it is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Datamodels:
    """Linear predictors of every target's margin from a mask, in raw mask units.

    margin[target] ≈ bias[target] + Σ_train weights[target, train]·mask[train].
    lambdas: the penalty chosen for each target. duality_gap: relative duality gap (P − D)/P of each target's final
    fit, NaN for estimators that have none. validation_r2: 1 − MSE/variance on the models held out to choose λ.
    """

    weights: Float[np.ndarray, "targets train"]
    bias: Float[np.ndarray, " targets"]
    lambdas: Float[np.ndarray, " targets"]
    duality_gap: Float[np.ndarray, " targets"]
    validation_r2: Float[np.ndarray, " targets"]

    def predict(self, masks: Bool[np.ndarray, "models train"]) -> Float[np.ndarray, "models targets"]:
        """Predicted margins of models trained on these masks."""
        return np.asarray(masks.astype(np.float32) @ self.weights.T + self.bias)
