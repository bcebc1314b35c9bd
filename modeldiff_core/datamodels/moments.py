"""Second moments of masks and margins: all that a linear regression needs of the data."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator


@dataclass(frozen=True)
class Moments:
    """Centred second moments over models, each divided by their number m.

    gram: Xᵀ X/m − x̄ x̄ᵀ. cross: Xᵀ Y/m − x̄ ȳ. power: mean squared margin around its mean.
    """

    gram: Float[Tensor, "train train"]
    cross: Float[Tensor, "train targets"]
    power: Float[Tensor, " targets"]
    mask_mean: Float[Tensor, " train"]
    margin_mean: Float[Tensor, " targets"]

    def bias(self, weights: Float[Tensor, "train targets"]) -> Float[Tensor, " targets"]:
        """The unpenalised intercept that belongs to the weights: ȳ − x̄·w."""
        return self.margin_mean - self.mask_mean @ weights


def moments(masks: Float[Tensor, "models train"], margins: Float[Tensor, "models targets"]) -> Moments:
    """Centred second moments; products of 0/1 masks are counts, exact in float32 below 2²⁴ models."""
    m = len(masks)
    x, y = masks.mean(0), margins.mean(0)
    centred = margins - y
    return Moments(
        gram=(masks.T @ masks) / m - torch.outer(x, x),
        cross=masks.T @ centred / m - torch.outer(x, centred.mean(0)),
        power=centred.square().mean(0),
        mask_mean=x,
        margin_mean=y,
    )


def check_regression_input(
    masks: Bool[np.ndarray, "models train"], margins: Float[np.ndarray, "rows targets"]
) -> None:
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
    """1 − MSE/variance over these models for each target; 0 where the margin does not vary."""
    error = (margins - masks @ weights - bias).square().mean(0)
    variance = margins.var(0, correction=0)
    return torch.where(variance > 0, 1 - error / variance.clamp(min=torch.finfo(variance.dtype).tiny), 0.0)
