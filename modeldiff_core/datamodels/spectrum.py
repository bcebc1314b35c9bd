"""The spectrum of the masks, from which regressions in closed form follow for any number of targets."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

BLOCK = 4096
"""Masks that are held in float64 at once."""


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues (ascending) and eigenvectors of the centered second moments Xᵀ X/m − x̄ x̄ᵀ, in float64."""

    mean: Float[Tensor, " train"]
    values: Float[Tensor, " train"]
    vectors: Float[Tensor, "train train"]


def spectrum(counts: Float[Tensor, "train train"], models: int) -> Spectrum:
    """Return the spectrum that belongs to co-occurrence counts.

    m·counts − c cᵀ holds whole numbers below 2⁵³, so the matrix that is decomposed is rounded once.
    """
    whole = counts.double()
    present = whole.diagonal().clone()
    centered = whole.mul_(models).addr_(present, present, alpha=-1).div_(models**2)
    values, vectors = torch.linalg.eigh(centered)
    return Spectrum(present / models, values.clamp(min=0), vectors)


def centered(
    margins: Float[Tensor, "models targets"],
) -> tuple[Float[Tensor, "models targets"], Float[Tensor, " targets"]]:
    """Margins around their means, and the means, in float64; a margin that does not vary becomes exactly zero."""
    first = margins[0].double()
    around = margins.double() - first
    shift = around.mean(0)
    return around - shift, first + shift


def cross_moments(
    masks: Bool[Tensor, "models train"], around: Float[Tensor, "models targets"]
) -> Float[Tensor, "train targets"]:
    """Xᵀ(Y − ȳ)/m in float64, of centered margins."""
    total = torch.zeros(masks.shape[1], around.shape[1], dtype=torch.float64)
    for x, y in zip(masks.split(BLOCK), around.split(BLOCK), strict=True):
        total.addmm_(x.double().T, y)
    return total.div_(len(masks))
