"""The null: how large a cross-fitted difference grows between algorithms that do not differ.

If A and B do not differ, exchanging the two margins of a model changes nothing but chance. So the labels A and B are
swapped at random for each model number, the datamodels of both halves are fitted again with what the real fits chose
(the lasso at their mean λ), and the same statistic is taken (a permutation test; exact for the paired design, in which
A and B share masks).

Each target's mean margin under A and under B is taken away before the exchange. No datamodel depends on it, but where A
is surer of a target than B in all models alike, exchanging that too would be noise that no regression can explain.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.comparison.crossfit import CrossFit, Halves, Parts, cross_fit
from modeldiff_core.datamodels.protocol import Counts, Refit
from modeldiff_core.identity import generator
from modeldiff_core.statistics.replicates import Replicates

Method = Literal["pca", "crossfit"]
"""Directions of a half from PCA of its residuals, or from the cross-covariance of those of its two quarters."""
Swaps = tuple[Bool[np.ndarray, " first"], Bool[np.ndarray, " second"]]
"""Of the models of either half, those whose A and B are exchanged."""


@dataclass(frozen=True)
class Pairs:
    """Margins of A and of B on one half of the model numbers, and how they are fitted again.

    counts: co-occurrence counts of the masks, where A and B share them and somebody has counted. repeated: which models
    share a mask, None where each has its own.
    """

    masks_a: Bool[np.ndarray, "models train"]
    masks_b: Bool[np.ndarray, "models train"]
    margins_a: Float[np.ndarray, "models targets"]
    margins_b: Float[np.ndarray, "models targets"]
    refit: Refit
    counts: Counts | None = None
    repeated: Replicates | None = None

    @property
    def replicates(self) -> Replicates:
        """What is exchanged between A and B: models of one number, or all models of one mask."""
        return Replicates.single(len(self.masks_a)) if self.repeated is None else self.repeated

    def half(self, which: int) -> "Pairs":
        """Return every other replicate, from number `which` on, fitted with the same choices."""
        part = self.replicates.half(which)
        return replace(
            self,
            masks_a=self.masks_a[part],
            masks_b=self.masks_b[part],
            margins_a=self.margins_a[part],
            margins_b=self.margins_b[part],
            counts=None,
            repeated=self.replicates.select(part),
        )


@dataclass(frozen=True)
class CommonFits:
    """A's and B's datamodels of both halves, fitted alike, and what the directions of each half are found from."""

    a: Halves
    b: Halves
    parts_a: Parts
    parts_b: Parts

    def compare(
        self,
        n_components: int,
        reference: Float[np.ndarray, "components train"] | None = None,
        *,
        reverse: bool = False,
        normalize: bool = True,
    ) -> CrossFit:
        """Cross-fitted variances of the directions of A on B, or reversed of B on A ("a" is then B)."""
        sides = ((self.a, self.parts_a), (self.b, self.parts_b))
        (one, from_one), (other, from_other) = sides[::-1] if reverse else sides
        return cross_fit(one, other, n_components, reference, parts=(from_one, from_other), normalize=normalize)


def permuted_differences(
    halves: tuple[Pairs, Pairs],
    n_components: int,
    permutations: range,
    seed: int,
    *,
    method: Method = "pca",
    normalize: bool = True,
) -> Float[np.ndarray, "permutations sides components"]:
    """Return cross-fitted differences of each side (A−B, then B−A) under random exchanges of A and B.

    A difference is variance_A − variance_B along each direction (`cross_fit`), on the side B−A the other way round.
    Where A and B do not differ, an exchange of a model's two margins changes nothing but chance.

    Permutation p is a pure function of (seed, p).
    """
    out = np.empty((len(permutations), 2, n_components), np.float32)
    for row, permutation in enumerate(permutations):
        first, second = (
            half.replicates.exchange(generator("permutation", seed, permutation, h)) for h, half in enumerate(halves)
        )
        out[row] = both_sides(common_fits(halves, (first, second), method=method), n_components, normalize=normalize)
    return out


def both_sides(fits: CommonFits, n_components: int, *, normalize: bool) -> Float[np.ndarray, "sides components"]:
    """Cross-fitted differences of the directions A−B, then B−A, as both halves find them."""
    sides = [fits.compare(n_components, reverse=reverse, normalize=normalize) for reverse in (False, True)]
    return np.stack([fit.difference for fit in sides])


def common_fits(halves: tuple[Pairs, Pairs], swaps: Swaps | None = None, *, method: Method = "pca") -> CommonFits:
    """Return A's and B's datamodels of both halves, fitted alike, after exchanging A and B where `swaps` says so.

    The real fits are compared at the same common choices (the lasso's λ) as the exchanged ones: at a λ of its own for
    each algorithm they would differ by more than the null knows of.
    """
    swapped = (None, None) if swaps is None else swaps
    (a0, b0), (a1, b1) = (_fits(half, swap) for half, swap in zip(halves, swapped, strict=True))
    if method == "pca":
        return CommonFits((a0, a1), (b0, b1), ((a0,), (a1,)), ((b0,), (b1,)))
    quarters = [
        [_fits(half.half(q), None if swap is None else swap[half.replicates.half(q)]) for q in (0, 1)]
        for half, swap in zip(halves, swapped, strict=True)
    ]
    (a00, b00), (a01, b01), (a10, b10), (a11, b11) = (*quarters[0], *quarters[1])
    return CommonFits((a0, a1), (b0, b1), ((a00, a01), (a10, a11)), ((b00, b01), (b10, b11)))


def _fits(
    half: Pairs, swap: Bool[np.ndarray, " models"] | None
) -> tuple[Float[np.ndarray, "targets train"], Float[np.ndarray, "targets train"]]:
    if swap is None:
        return (
            half.refit(half.masks_a, half.margins_a, half.counts),
            half.refit(half.masks_b, half.margins_b, half.counts),
        )
    exchanged = swap[:, None]
    margins_a, margins_b = half.margins_a - half.margins_a.mean(0), half.margins_b - half.margins_b.mean(0)
    return (
        half.refit(
            np.where(exchanged, half.masks_b, half.masks_a), np.where(exchanged, margins_b, margins_a), half.counts
        ),
        half.refit(
            np.where(exchanged, half.masks_a, half.masks_b), np.where(exchanged, margins_a, margins_b), half.counts
        ),
    )
