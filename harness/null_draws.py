"""The largest difference of two algorithms against draws of its null, as batteries of null studies take it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.comparison.contrast import Contrast, Fits, Found, Sample, contrast_of, find_contrast, sample_of
from modeldiff_core.comparison.contrast_null import decided, null_sample, sequential_p

BLOCK = 10
"""Draws that are made at a time."""
Masks = Bool[np.ndarray, "models train"]
Margins = Float[np.ndarray, "models targets"]


@dataclass(frozen=True)
class AgainstNull:
    """The directions of a contrast and the draws that the largest was compared with.

    Attributes:
        sample: Masks and margins.
        fits: Their datamodels.
        contrast: What is sought.
        found: The directions, the largest first.
        drawn: The largest eigenvalue of each draw.

    """

    sample: Sample
    fits: Fits
    contrast: Contrast
    found: Found
    drawn: Float[np.ndarray, " draws"]

    @property
    def value(self) -> float:
        """The largest eigenvalue."""
        return float(self.found.eigenvalues[0])

    @property
    def p(self) -> float:
        """The p of the largest direction."""
        return sequential_p(self.value, self.drawn)


def never(value: float, drawn: Float[np.ndarray, " draws"]) -> bool:
    """Return False."""
    return False


def against_null(
    masks: tuple[Masks, Masks],
    margins: tuple[Margins, Margins],
    components: int,
    draws: int,
    seed: int,
    ended: Callable[[float, Float[np.ndarray, " draws"]], bool] = never,
) -> AgainstNull:
    """Return the directions of two algorithms and as many draws as decide whether the largest is beyond chance.

    Args:
        masks: Of A's and of B's models.
        margins: Theirs.
        components: Directions that are sought.
        draws: Most draws.
        seed: Of the draws.
        ended: Whether no more draws are needed, given the largest eigenvalue and those drawn so far.

    """
    sample = sample_of(masks, margins)
    fits = sample.fits()
    contrast = contrast_of(sample, fits)
    found = find_contrast(contrast, fits, components)
    null = null_sample(sample, contrast, found.steady)
    value, drawn = float(found.eigenvalues[0]), np.empty(0)
    while not (decided(value, drawn, draws) or ended(value, drawn)):
        drawn = np.append(drawn, null.largest(range(len(drawn), min(len(drawn) + BLOCK, draws)), seed))
    return AgainstNull(sample, fits, contrast, found, drawn)
