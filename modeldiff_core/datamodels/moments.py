"""Second moments of masks and margins: all that a linear regression needs of the data."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator

BLOCK = 4096
"""Rows that are held in float64 at once."""


@dataclass(frozen=True)
class Moments:
    """Second moments over `models` models, without rounding that a duality gap would notice.

    counts: Xᵀ X, whole numbers, exact in float32 below 2²⁴ models. The others are float64 and centred:
    cross: Xᵀ(Y − ȳ)/m. power: mean squared margin around its mean. mask_mean, margin_mean: x̄, ȳ.
    """

    models: int
    counts: Float[Tensor, "train train"]
    cross: Float[Tensor, "train targets"]
    power: Float[Tensor, " targets"]
    mask_mean: Float[Tensor, " train"]
    margin_mean: Float[Tensor, " targets"]

    def bias(self, weights: Float[Tensor, "train targets"]) -> Float[Tensor, " targets"]:
        """The unpenalised intercept that belongs to the weights: ȳ − x̄·w."""
        return self.margin_mean - self.mask_mean @ weights.double()

    def product(self, weights: Float[Tensor, "train columns"]) -> Float[Tensor, "train columns"]:
        """Gram matrix times weights, (Xᵀ X/m − x̄ x̄ᵀ)·w, computed in the precision of the weights."""
        counted = torch.cat([rows.to(weights.dtype) @ weights for rows in self.counts.split(BLOCK)])
        mean = self.mask_mean.to(weights.dtype)
        return counted.div_(self.models).addr_(mean, mean @ weights, alpha=-1)

    def gram(self) -> Float[Tensor, "train train"]:
        """Xᵀ X/m − x̄ x̄ᵀ, rounded to float32 once."""
        rows = zip(self.counts.split(BLOCK), self.mask_mean.split(BLOCK), strict=True)
        return torch.cat([(count.double() / self.models - torch.outer(x, self.mask_mean)).float() for count, x in rows])

    def to(self, precision: torch.dtype) -> "Moments":
        """The same with cross and power in another precision."""
        return replace(self, cross=self.cross.to(precision), power=self.power.to(precision))

    def select(self, targets: Int[Tensor, " chosen"]) -> "Moments":
        """The moments of some targets."""
        return replace(
            self, cross=self.cross[:, targets], power=self.power[targets], margin_mean=self.margin_mean[targets]
        )


def moments(masks: Float[Tensor, "models train"], margins: Float[Tensor, "models targets"]) -> Moments:
    """Second moments of 0/1 masks and margins; a margin that does not vary has moments of exactly zero."""
    m = len(masks)
    counts = masks.T @ masks
    centred = margins.double() - margins[0].double()
    shift = centred.mean(0)
    centred -= shift
    cross = sum(x.double().T @ y for x, y in zip(masks.split(BLOCK), centred.split(BLOCK), strict=True))
    return Moments(
        models=m,
        counts=counts,
        cross=torch.as_tensor(cross) / m,
        power=centred.square().mean(0),
        mask_mean=counts.diagonal().double() / m,
        margin_mean=margins[0].double() + shift,
    )


def check_regression_input(masks: Bool[np.ndarray, "models train"], margins: Float[np.ndarray, "rows targets"]) -> None:
    """Raise ConfigError for masks and margins that no regression can be made of."""
    if len(masks) != len(margins):
        raise ConfigError("margins", f"a row for each of {len(masks)} masks", len(margins))
    if len(masks) < 4:
        raise ConfigError("masks", "at least 4 models", len(masks))
    if not masks.any():
        raise ConfigError("masks", "some training example left in by some model", "masks that are all false")
    finite = np.isfinite(margins).all(1)
    if not finite.all():
        raise ConfigError("margins", "finite values", f"model {int(np.argmin(finite))} with values that are not")


def validation_split(models: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit and rows to choose λ on, drawn from the seed; at least one row stays on each side."""
    if not 0 < fraction < 1:
        raise ConfigError("regression.validation_fraction", "a number in (0, 1)", fraction)
    held = min(models - 1, max(1, round(fraction * models)))
    order = generator("validation", seed).permutation(models)
    return np.sort(order[held:]), np.sort(order[:held])


def r_squared(
    masks: Float[Tensor, "models train"],
    margins: Float[Tensor, "models targets"],
    weights: Float[Tensor, "train targets"],
    bias: Float[Tensor, " targets"],
) -> Float[Tensor, " targets"]:
    """1 − MSE/variance over these models for each target, in float32; 0 where the margin does not vary."""
    error = (margins - masks @ weights.float() - bias.float()).square().mean(0)
    variance = margins.var(0, correction=0)
    return torch.where(variance > 0, 1 - error / variance.clamp(min=torch.finfo(variance.dtype).tiny), 0.0)
