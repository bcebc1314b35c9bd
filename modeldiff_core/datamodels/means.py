"""Difference in means: the margin of models that saw an example against that of models that did not."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from modeldiff_core.datamodels.moments import check_regression_input
from modeldiff_core.datamodels.protocol import Counts, Fit, FromMasks, Margins, Masks
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.datamodels.spectrum import centered, cross_moments


@dataclass(frozen=True)
class DifferenceInMeans(FromMasks):
    """Empirical influence; see fit_difference_in_means."""

    def prepare(self, masks: Masks, counts: Counts | None) -> Fit:
        """Count how often each example is left in."""
        check_regression_input(masks, np.zeros((len(masks), 1), np.float32))
        x = torch.from_numpy(masks)
        mean_mask = x.double().mean(0)
        # 0 for an example in all or in none of the subsets: nothing can be said of it.
        scale = torch.where((mean_mask > 0) & (mean_mask < 1), 1 / (mean_mask * (1 - mean_mask)), 0.0)[:, None]

        def fitted(margins: Margins) -> Datamodels:
            check_regression_input(masks, margins)
            around, mean = centered(torch.from_numpy(np.asarray(margins, np.float32)))
            weights = cross_moments(x, around) * scale
            missing = np.full(len(mean), np.nan, np.float32)
            return Datamodels(
                weights=weights.T.float().contiguous().numpy(),
                bias=(mean - mean_mask @ weights).float().numpy(),
                lambdas=missing,
                duality_gap=missing,
                validation_r2=missing,
            )

        return fitted


def fit_difference_in_means(
    masks: Bool[np.ndarray, "models train"], margins: Float[np.ndarray, "rows targets"]
) -> Datamodels:
    """Return datamodels w_j = mean margin of the models with example j in − of those with it out (empirical influence).

    That is the covariance of margin and mask over x̄_j(1 − x̄_j), the influence of Feldman and Zhang (2020). The bias
    makes the mean prediction the mean margin.
    An example in all or in none of the subsets has weight 0.

    Raises ConfigError for lengths that differ, margins that are not finite, masks without any example.
    """
    check_regression_input(masks, margins)
    return DifferenceInMeans().prepare(masks, None)(margins)
