"""The null: how large a cross-fitted difference grows between algorithms that do not differ.

If A and B do not differ, exchanging the two margins of a model changes nothing but chance. So the labels A and B are
swapped at random for each model number, the datamodels of both halves are fitted anew with what the real fits chose
(the lasso at their mean λ), and the same statistic is taken (a permutation test; exact for the paired design, in which
A and B share masks).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.comparison.crossfit import Halves, cross_fit
from modeldiff_core.datamodels.protocol import Counts, Refit
from modeldiff_core.identity import generator


@dataclass(frozen=True)
class Pairs:
    """Margins of A and of B on one half of the model numbers, and how they are fitted anew.

    counts: co-occurrence counts of the masks, where A and B share them and somebody has counted.
    """

    masks_a: Bool[np.ndarray, "models train"]
    masks_b: Bool[np.ndarray, "models train"]
    margins_a: Float[np.ndarray, "models targets"]
    margins_b: Float[np.ndarray, "models targets"]
    refit: Refit
    counts: Counts | None = None


def permuted_differences(
    halves: tuple[Pairs, Pairs], n_components: int, permutations: range, seed: int
) -> Float[np.ndarray, "permutations sides components"]:
    """Cross-fitted differences of each side (A−B, then B−A) under random exchanges of A and B.

    Permutation p is a pure function of (seed, p).
    """
    out = np.empty((len(permutations), 2, n_components), np.float32)
    for row, permutation in enumerate(permutations):
        a, b = common_fits(
            halves,
            tuple(
                generator("permutation", seed, permutation, h).random(len(half.masks_a)) < 0.5
                for h, half in enumerate(halves)
            ),
        )
        out[row, 0] = cross_fit(a, b, n_components).difference
        out[row, 1] = cross_fit(b, a, n_components).difference
    return out


def common_fits(
    halves: tuple[Pairs, Pairs], swaps: tuple[Bool[np.ndarray, " models"], ...] | None = None
) -> tuple[Halves, Halves]:
    """A's and B's datamodels of both halves, fitted alike, after exchanging A and B where `swaps` says so.

    The real fits are compared at the same common choices (the lasso's λ) as the exchanged ones: at a λ of its own for
    each algorithm they would differ by more than the null knows of.
    """
    fits = [_fits(half, None if swaps is None else swaps[h]) for h, half in enumerate(halves)]
    return (fits[0][0], fits[1][0]), (fits[0][1], fits[1][1])


def _fits(
    half: Pairs, swap: Bool[np.ndarray, " models"] | None
) -> tuple[Float[np.ndarray, "targets train"], Float[np.ndarray, "targets train"]]:
    exchanged = np.zeros(len(half.masks_a), dtype=bool) if swap is None else swap
    fits = []
    for mine, other, mine_masks, other_masks in (
        (half.margins_a, half.margins_b, half.masks_a, half.masks_b),
        (half.margins_b, half.margins_a, half.masks_b, half.masks_a),
    ):
        y = np.where(exchanged[:, None], other, mine)
        x = np.where(exchanged[:, None], other_masks, mine_masks)
        fits.append(half.refit(x, y, half.counts))
    return fits[0], fits[1]


def p_values(
    differences: Float[np.ndarray, " components"], null: Float[np.ndarray, " draws"]
) -> Float[np.ndarray, " components"]:
    """(1 + number of null draws at least as large)/(1 + number of draws); 1 without any draw."""
    larger = (null[None, :] >= differences[:, None]).sum(1)
    return np.asarray((1 + larger) / (1 + len(null)))
