"""What errors of slopes add to the errors of sizes along directions."""

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.contrast import Fits, Sample
from modeldiff_core.comparison.slopes import slope_angles
from modeldiff_core.comparison.split_ridge import unfitted

LEAST_GAP = 0.25
"""Of the median over targets, the least length by which a slope's error is divided."""


def slope_influences(
    sample: Sample,
    fits: Fits,
    weights: Float[np.ndarray, " targets"],
    directions: Float[np.ndarray, "components train"],
    half: int,
) -> Float[np.ndarray, "3 models components"]:
    """Return the influences through slopes on the sizes along directions that are measured on a half.

    With R = cos φ·θ_A − sin φ·θ_B and l = sin φ·θ_A + cos φ·θ_B, and slopes outside the directions, an error δ_t of
    φ_t adds −w²·⟨R_t, v⟩·⟨l_t, v⟩·δ_t to the contrast's variance along v, −w²·cos φ·sin φ·⟨θ_A,t, v⟩²·δ_t to A's and
    the opposite of B's to B's. δ_t = ⟨R_t, l_t⟩/(‖l_t‖² − ‖R_t‖²) outside the directions, to which model i adds ⟨K_i,
    l_t⟩·e_i,t, e_i,t the residual of cos φ·y_A − sin φ·y_B.

    Args:
        sample: The margins.
        fits: Their datamodels.
        weights: Of the targets.
        directions: Outside which slopes are taken; chosen on the other half.
        half: Whose models measure the sizes. Each factor of a size has the slopes of one half, so both halves' count.

    Returns:
        Of every model, on the contrast's variance, A's and B's, times a datamodel's unit; models of B follow those of
        A where their masks differ.
    """
    models = len(sample.a) if sample.paired else len(sample.a) + len(sample.b)
    found = np.zeros((3, models, len(directions)))
    for own in (0, 1):
        products = fits.products(own, directions.T)
        angles = slope_angles(*products)
        c, s = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        along_a, along_b = fits.a[half] @ directions.T, fits.b[half] @ directions.T
        rows, shared = c[:, None] * along_a - s[:, None] * along_b, s[:, None] * along_a + c[:, None] * along_b
        square = np.square(weights)[:, None]
        changes = (
            -square * (rows - rows.mean(0)) * shared,
            -square * (c * s)[:, None] * along_a * (along_a - along_a.mean(0)),
            square * (c * s)[:, None] * along_b * (along_b - along_b.mean(0)),
        )
        aa, ab, bb = products
        gap = np.cos(2 * angles) * (bb - aa) + 2 * np.sin(2 * angles) * ab
        kept = weights > 0
        gap = np.where(kept, np.maximum(gap, LEAST_GAP * max(float(np.median(gap[kept])), 1e-30)), np.inf)
        length = s[:, None] * fits.a[own] + c[:, None] * fits.b[own]
        length = length - (length @ directions.T) @ directions
        errors = [
            sign * unfitted(masks[op.rows[own]], margins[op.rows[own]], op.columns[own])
            for sign, masks, margins, op in zip((c, -s), sample.masks, (sample.a, sample.b), sample.halves, strict=True)
        ]
        if sample.paired:
            errors = [errors[0] + errors[1]]
        for which, (e, op) in enumerate(zip(errors, sample.halves, strict=False)):
            adds = (length @ op.columns[own]).T * e / gap
            place = op.rows[own] + which * len(sample.a)
            for size, change in enumerate(changes):
                found[size, place] += adds @ change
    return found
