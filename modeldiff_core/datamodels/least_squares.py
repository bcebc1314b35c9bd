"""Least squares without a penalty: the smallest weights that fit best."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float

from modeldiff_core.datamodels.gram import co_occurrence
from modeldiff_core.datamodels.moments import check_regression_input
from modeldiff_core.datamodels.protocol import Counts, Fit, FromMasks, Margins, Masks
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.datamodels.spectrum import BLOCK, centered, cross_moments, spectrum

REFINEMENTS = 2
"""Times that what is left of the margins is solved for again: the moments square the masks' condition number."""


@dataclass(frozen=True)
class LeastSquares(FromMasks):
    """Least squares of least norm; see fit_least_squares."""

    uses_counts: ClassVar[bool] = True

    def prepare(self, masks: Masks, counts: Counts | None) -> Fit:
        """Decompose the moments of the masks."""
        check_regression_input(masks, np.zeros((len(masks), 1), np.float32))
        x = torch.from_numpy(masks)
        found = spectrum(co_occurrence(masks) if counts is None else counts, len(x))
        kept = found.values > len(found.values) * torch.finfo(torch.float64).eps * found.values.max()
        vectors, values = found.vectors[:, kept], found.values[kept, None]

        def fitted(margins: Margins) -> Datamodels:
            check_regression_input(masks, margins)
            around, mean = centered(torch.from_numpy(np.asarray(margins, np.float32)))
            weights = vectors @ ((vectors.T @ cross_moments(x, around)) / values)
            for _ in range(REFINEMENTS):
                left = torch.cat([part.double() @ weights for part in x.split(BLOCK)])
                left = around - left + found.mean @ weights
                weights += vectors @ ((vectors.T @ cross_moments(x, left)) / values)
            missing = np.full(len(mean), np.nan, np.float32)
            return Datamodels(
                weights=weights.T.float().contiguous().numpy(),
                bias=(mean - found.mean @ weights).float().numpy(),
                lambdas=np.zeros(len(mean), np.float32),
                duality_gap=missing,
                validation_r2=missing,
            )

        return fitted


def fit_least_squares(
    masks: Bool[np.ndarray, "models train"], margins: Float[np.ndarray, "rows targets"]
) -> Datamodels:
    """Return datamodels argmin over (w, b) of ‖y − b − Xw‖², of all such weights those of least ‖w‖₂.

    With fewer models than training examples the margins are met exactly and the weights say little of unseen models.
    Eigenvalues of the second moments below n_train·2⁻⁵² of the largest count as zero. Computed in float64.

    Raises ConfigError for lengths that differ, margins that are not finite, masks without any example.
    """
    check_regression_input(masks, margins)
    return LeastSquares().prepare(masks, None)(margins)
