"""What all that differs gains because slopes are taken outside directions that the same models chose."""

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.contrast import Contrast, Fits, centered
from modeldiff_core.comparison.noise import Block
from modeldiff_core.comparison.slope_noise import half_slopes, mixed
from modeldiff_core.comparison.slopes import slope_angles


def slope_selection(
    fits: Fits,
    blocks: tuple[list[Block], list[Block]],
    contrast: Contrast,
    directions: Float[np.ndarray, "components train"],
    versions: Float[np.ndarray, "2 components train"],
) -> tuple[float, float]:
    """Return what is to be taken from all that differs, and the variance of that and of what slopes' errors add.

    Inside the directions a slope's error changes all that differs in proportion, by ∂D/∂φ_t·δ_t, and directions are
    those along which the same models' errors happen to make it large. Directions of half h, v⁽ʰ⁾, show by how much:
    with D(φ) the trace of S at slopes φ, what is taken away is g₀ + g₁,

        g_h = ¼·[D(φ⁽ʰ⁾) − D(φ⁽¹⁻ʰ⁾)],    φ⁽ᵏ⁾ of half k outside v⁽ʰ⁾,

    half the mean difference, as it falls as 1/models and all have twice a half's; its variance is (g₀ − g₁)². Slopes of
    all models are to first order the mean of both halves', so that what their errors add has the variance

        ¼·Σ_h [Σ_i (Σ_t ∂D/∂φ_t·d_i,t)² − Σ_t (∂D/∂φ_t)²·D_t],    d_i and D_t of half h (slope_noise).

    Args:
        fits: Datamodels.
        blocks: Models of each half.
        contrast: With slopes of its own.
        directions: Outside which slopes are taken, from all models.
        versions: The same from each half.
    """
    variance, gained = 0.0, np.zeros(2)
    for half, own in enumerate(versions):
        slopes = half_slopes(fits, blocks[half], contrast.weights, directions, half)
        change = _change(fits, contrast, directions, slopes.angles) / 2
        variance += sum(float(np.square(adds @ change).sum()) for adds in slopes.adds)
        variance -= float(slopes.twice @ np.square(change))
        for other, sign in ((half, 0.25), (1 - half, -0.25)):
            angles = slope_angles(*fits.products(other, own.T))
            first, second = centered(contrast.rows_at(fits, (angles, angles)))
            gained[half] += sign * float(np.einsum("ij,ij->", first, second))
    return float(gained.sum()), max(variance, 0.0) + float(gained[0] - gained[1]) ** 2


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
