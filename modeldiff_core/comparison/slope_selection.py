"""What all that differs gains because slopes are taken outside directions that the same models chose."""

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.contrast import Contrast, Fits, centered
from modeldiff_core.comparison.noise import Block
from modeldiff_core.comparison.slope_noise import half_slopes, mixed


def slope_selection(
    fits: Fits,
    blocks: tuple[list[Block], list[Block]],
    contrast: Contrast,
    directions: Float[np.ndarray, "components train"],
    versions: Float[np.ndarray, "2 components train"],
) -> tuple[float, Float[np.ndarray, " models"]]:
    """Return what is to be taken from all that differs, and every model's influence on what is left, through slopes.

    Inside the directions a slope's error changes all that differs in proportion, by ∂D/∂φ_t·δ_t, and directions are
    those along which the same models' errors happen to make it large. Directions of half h, v⁽ʰ⁾, show by how much:
    with D(φ) the trace of S at slopes φ,

        ¼·Σ_h [D(φ⁽ʰ⁾) − D(φ⁽¹⁻ʰ⁾)],    φ⁽ᵏ⁾ of half k outside v⁽ʰ⁾,

    half the mean difference, as it falls as 1/models and all have twice a half's. Slopes of all models are to first
    order the mean of both halves'.

    Args:
        fits: Datamodels.
        blocks: Models of each half.
        contrast: With slopes of its own.
        directions: Outside which slopes are taken, from all models.
        versions: The same from each half.
    """
    influence = np.zeros(1 + max(int(block.place.max()) for half in blocks for block in half))
    for half in (0, 1):
        slopes = half_slopes(fits, blocks[half], contrast.weights, directions, half)
        slopes.add_to(influence, _change(fits, contrast, directions, slopes.angles) / 2)
    gained = 0.0
    for half, own in enumerate(versions):
        for other, sign in ((half, 0.25), (1 - half, -0.25)):
            slopes = half_slopes(fits, blocks[other], contrast.weights, own, other)
            first, second = centered(contrast.rows_at(fits, (slopes.angles, slopes.angles)))
            gained += sign * float(np.einsum("ij,ij->", first, second))
            slopes.add_to(influence, -sign * _change(fits, contrast, own, slopes.angles))
    return gained, influence


def _change(
    fits: Fits,
    contrast: Contrast,
    directions: Float[np.ndarray, "components train"],
    angles: Float[np.ndarray, " targets"],
) -> Float[np.ndarray, " targets"]:
    """Return ∂D/∂φ_t inside the directions: outside them slopes are where it is 0."""
    w = contrast.weights
    c, s = w * np.cos(angles), w * np.sin(angles)
    rows, shared = (
        [mixed(*way, a @ directions.T, b @ directions.T) for a, b in zip(fits.a, fits.b, strict=True)]
        for way in ((c, -s), (s, c))
    )
    first, second = centered((rows[0], rows[1]))
    return -np.asarray((first * shared[1] + second * shared[0]).sum(1))
