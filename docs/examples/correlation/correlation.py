"""An estimator of attributions of one's own, found by ModelDiff through the entry point in pyproject.toml."""

from dataclasses import dataclass

import numpy as np

from modeldiff_core.datamodels import Datamodels, FromMasks
from modeldiff_core.errors import ConfigError


@dataclass(frozen=True)
class Correlation(FromMasks):
    """Weights are correlations of a target's margin with each example's presence, those below `threshold` left out.

    The settings are the fields: they decide the identity and can be set as regression.settings.correlation.threshold.
    """

    threshold: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ConfigError("regression.threshold", "a number in [0, 1)", self.threshold)

    def prepare(self, masks, counts):
        """What depends on the masks alone, done once; the result is called with the margins of some targets."""
        x = masks - masks.mean(0)
        x = x / np.maximum(np.linalg.norm(x, axis=0), 1e-12)

        def fit(margins):
            y = margins - margins.mean(0)
            weights = (x.T @ (y / np.maximum(np.linalg.norm(y, axis=0), 1e-12))).T.astype(np.float32)
            weights[np.abs(weights) < self.threshold] = 0
            bias = (margins.mean(0) - weights @ masks.mean(0)).astype(np.float32)
            unknown = np.full(len(bias), np.nan, np.float32)
            return Datamodels(weights, bias, lambdas=unknown, duality_gap=unknown, validation_r2=unknown)

        return fit
