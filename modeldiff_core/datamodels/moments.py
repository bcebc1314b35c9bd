"""Second moments of masks and margins: all that a linear regression needs of the data."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from modeldiff_core.datamodels.design import GramDesign, row_sums
from modeldiff_core.datamodels.exact_sums import Scale, Sums, sums
from modeldiff_core.datamodels.gram import counts_of
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.statistics.replicates import Replicates

Split = tuple[Int[np.ndarray, " fitted"], Int[np.ndarray, " held"]]


@dataclass(frozen=True)
class TargetMoments:
    """cross: (Y − ȳ)ᵀX/m. power: mean squared margin around its mean. margin_mean: ȳ. All float64, from exact sums."""

    cross: Float[Tensor, "targets train"]
    power: Float[Tensor, " targets"]
    margin_mean: Float[Tensor, " targets"]

    @classmethod
    def of(cls, sums: Sums, scale: Scale, mask_mean: Float[Tensor, " train"], models: int) -> "TargetMoments":
        """Return the moments of some models; exactly zero for a margin that does not vary among them."""
        power = torch.from_numpy(sums.power(models)).to(scale.unit.device)
        mean = sums.total.double() / models
        cross = (sums.products - sums.total.double()[:, None] * mask_mean) / models
        return cls(
            cross=torch.where(power[:, None] > 0, cross * scale.unit[:, None], 0.0),
            power=power * scale.unit.square(),
            margin_mean=scale.offset + scale.unit * mean,
        )

    def select(self, targets: Int[Tensor, " chosen"]) -> "TargetMoments":
        """Return the moments of some targets."""
        return TargetMoments(self.cross[targets], self.power[targets], self.margin_mean[targets])

    def bias(
        self, weights: Float[Tensor, "targets train"], mask_mean: Float[Tensor, " train"]
    ) -> Float[Tensor, " targets"]:
        """Return the unpenalized intercept that belongs to the weights: ȳ − x̄·w."""
        return self.margin_mean - row_sums(weights.double() * mask_mean)


@dataclass(frozen=True)
class Moments:
    """Second moments over `models` models, without rounding that a duality gap would notice.

    counts: Xᵀ X, whole numbers, exact in float32 below 2²⁴ models. The others are float64 and centered:
    cross: Xᵀ(Y − ȳ)/m. power: mean squared margin around its mean. mask_mean, margin_mean: x̄, ȳ.
    """

    models: int
    counts: Float[Tensor, "train train"]
    cross: Float[Tensor, "train targets"]
    power: Float[Tensor, " targets"]
    mask_mean: Float[Tensor, " train"]
    margin_mean: Float[Tensor, " targets"]

    @property
    def design(self) -> GramDesign:
        """The masks' part, as an operator."""
        return GramDesign(self.models, self.counts)

    def bias(self, weights: Float[Tensor, "train targets"]) -> Float[Tensor, " targets"]:
        """Return the unpenalized intercept that belongs to the weights: ȳ − x̄·w."""
        return self.margin_mean - self.mask_mean @ weights.double()

    def product(self, weights: Float[Tensor, "train columns"]) -> Float[Tensor, "train columns"]:
        """Gram matrix times weights, (Xᵀ X/m − x̄ x̄ᵀ)·w, computed in the precision of the weights."""
        return self.design.product(weights.T).T

    def gram(self) -> Float[Tensor, "train train"]:
        """Xᵀ X/m − x̄ x̄ᵀ, rounded to float32 once."""
        return self.design.gram(torch.float32)

    def select(self, targets: Int[Tensor, " chosen"]) -> "Moments":
        """Return the moments of some targets."""
        return Moments(
            self.models,
            self.counts,
            self.cross[:, targets],
            self.power[targets],
            self.mask_mean,
            self.margin_mean[targets],
        )


def moments(
    masks: Float[Tensor, "models train"] | Int8[Tensor, "models train"], margins: Float[Tensor, "models targets"]
) -> Moments:
    """Second moments of 0/1 masks and margins; a margin that does not vary has moments of exactly zero."""
    x = masks.to(torch.int8)
    design = GramDesign(len(x), counts_of(x))
    scale = Scale.of(margins)
    target = TargetMoments.of(sums(x, scale.numbers(margins)), scale, design.mask_mean, len(x))
    return Moments(len(x), design.counts, target.cross.T, target.power, design.mask_mean, target.margin_mean)


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
        raise ConfigError("margins", "finite values", f"model {int(np.argmin(finite))} with values that are not finite")


def validation_split(models: Replicates, fraction: float, seed: int) -> Split:
    """Return rows to fit and rows to choose λ on, drawn from the seed; no replicate is split.

    At least one replicate stays on each side. Raises ConfigError for a share outside (0, 1), and for one mask alone.
    """
    if not 0 < fraction < 1:
        raise ConfigError("regression.validation_fraction", "a number in (0, 1)", fraction)
    count = len(models)
    if count < 2:
        raise ConfigError("masks", "2 or more distinct ones", count)
    chosen = np.zeros(count, bool)
    chosen[generator("validation", seed).permutation(count)[: min(count - 1, max(1, round(fraction * count)))]] = True
    rows = models.rows_of(chosen)
    return np.flatnonzero(~rows), np.flatnonzero(rows)
