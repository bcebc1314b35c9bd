"""Ridge regression in closed form: dense datamodels for a whole path of penalties from one eigendecomposition."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from modeldiff_core.datamodels.gram import co_occurrence
from modeldiff_core.datamodels.moments import check_regression_input, validation_split
from modeldiff_core.datamodels.protocol import Counts, Fit, FromMasks, Margins, Masks, Refit
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.datamodels.spectrum import Spectrum, centered, cross_moments, spectrum
from modeldiff_core.errors import ConfigError
from modeldiff_core.statistics.replicates import Replicates


@dataclass(frozen=True)
class Ridge(FromMasks):
    """Dense datamodels: argmin over (w, b) of (1/2m)·‖y − b − Xw‖² + (λ/2)·‖w‖²; see fit_ridge."""

    uses_counts: ClassVar[bool] = True

    penalties: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    validation_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.penalties or not min(self.penalties) > 0:
            raise ConfigError("regression.penalties", "one or more numbers above 0", list(self.penalties))
        if not 0 < self.validation_fraction < 1:
            raise ConfigError("regression.validation_fraction", "a number in (0, 1)", self.validation_fraction)

    def prepare(self, masks: Masks, counts: Counts | None) -> Fit:
        """Split the models and decompose the moments of the fitted ones and of all."""
        check_regression_input(masks, np.zeros((len(masks), 1), np.float32))
        x = torch.from_numpy(masks)
        split = validation_split(Replicates.of_masks(masks), self.validation_fraction, self.seed)
        fit, held = (torch.from_numpy(rows) for rows in split)
        counts = co_occurrence(masks) if counts is None else counts
        part = spectrum(counts - co_occurrence(masks[held.numpy()]), len(fit))
        whole = spectrum(counts, len(x))
        turned = (x[held].double() - part.mean) @ part.vectors
        penalties = torch.tensor(self.penalties, dtype=torch.float64)

        def fitted(margins: Margins) -> Datamodels:
            check_regression_input(masks, margins)
            y = torch.from_numpy(np.asarray(margins, np.float32))
            around, mean = centered(y[fit])
            rotated = part.vectors.T @ cross_moments(x[fit], around)
            gaps = y[held].double() - mean
            scores = [
                _r_squared(gaps, turned @ (rotated / (part.values + penalty)[:, None])) for penalty in self.penalties
            ]
            held_r2, choice = torch.stack(scores).max(0)
            return replace(_solved(whole, x, y, penalties[choice]), validation_r2=held_r2.float().numpy())

        return fitted

    def common(self, a: Datamodels, b: Datamodels) -> Refit:
        """Ridge at the geometric mean of A's and B's penalties."""
        penalties = torch.from_numpy(np.sqrt(a.lambdas.astype(np.float64) * b.lambdas))

        def refitted(masks: Masks, margins: Margins, counts: Counts | None) -> Float[np.ndarray, "targets train"]:
            x = torch.from_numpy(masks)
            found = spectrum(co_occurrence(masks) if counts is None else counts, len(x))
            return _solved(found, x, torch.from_numpy(np.asarray(margins, np.float32)), penalties).weights

        return refitted


def fit_ridge(
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "rows targets"],
    *,
    penalties: tuple[float, ...] = Ridge.penalties,
    validation_fraction: float = Ridge.validation_fraction,
    seed: int = Ridge.seed,
) -> Datamodels:
    """Return dense datamodels: argmin over (w, b) of (1/2m)·‖y − b − Xw‖² + (λ/2)·‖w‖².

    λ is the penalty of least error on held-out models, for each target, among `penalties` (in units of a squared
    mask entry); then w = (G + λI)⁻¹c on all models, G and c the centered second moments. Computed in float64.

    Raises ConfigError for lengths that differ, margins that are not finite, masks without any example, and penalties
    that are not positive.
    """
    check_regression_input(masks, margins)
    return Ridge(penalties, validation_fraction, seed).prepare(masks, None)(margins)


def _solved(
    found: Spectrum,
    masks: Bool[Tensor, "models train"],
    margins: Float[Tensor, "models targets"],
    penalties: Float[Tensor, " targets"],
) -> Datamodels:
    """Ridge at one penalty a target."""
    around, mean = centered(margins)
    rotated = found.vectors.T @ cross_moments(masks, around)
    weights = found.vectors @ (rotated / (found.values[:, None] + penalties))
    missing = np.full(len(penalties), np.nan, np.float32)
    return Datamodels(
        weights=weights.T.float().contiguous().numpy(),
        bias=(mean - found.mean @ weights).float().numpy(),
        lambdas=penalties.float().numpy(),
        duality_gap=missing,
        validation_r2=missing,
    )


def _r_squared(
    margins: Float[Tensor, "held targets"], predictions: Float[Tensor, "held targets"]
) -> Float[Tensor, " targets"]:
    """1 − MSE/variance of each target; 0 where its margin does not vary."""
    variance = margins.var(0, correction=0)
    error = (margins - predictions).square().mean(0)
    return torch.where(variance > 0, 1 - error / variance.clamp(min=torch.finfo(variance.dtype).tiny), 0.0)
