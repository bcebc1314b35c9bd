"""Slopes: how strongly a target's margin reacts under A against B, from products without noise.

Under the hypothesis of reliance E[θ_A,t] = c_t·E[θ_B,t] the matrix of a target's noise-free products
[[⟨θ_A,θ_A⟩, ⟨θ_A,θ_B⟩], [⟨θ_A,θ_B⟩, ⟨θ_B,θ_B⟩]] has rank one and its leading eigenvector is (sin φ, cos φ) with
tan φ = c_t (total least squares). Unlike a quotient of products it treats A and B alike and never divides by
what may be noise: a difference is cos φ·θ_A − sin φ·θ_B, the coordinate along the other eigenvector.
"""

import numpy as np
from jaxtyping import Float

EDGE = 1e-3
"""Angles nearer than this to 0 or π/2 are slopes of 0 or infinity."""


def slope_angles(
    aa: Float[np.ndarray, " targets"], ab: Float[np.ndarray, " targets"], bb: Float[np.ndarray, " targets"]
) -> Float[np.ndarray, " targets"]:
    """Return φ_t = ½·atan2(2·ab, bb − aa) in [0, π/2], the angle of c_t = tan φ_t.

    Where ab is negative, c_t > 0 cannot hold: 0 if B reacts more strongly than A, π/2 otherwise.

    Args:
        aa: ⟨θ_A, θ_A⟩ of each target without noise; may be negative by chance.
        ab: ⟨θ_A, θ_B⟩.
        bb: ⟨θ_B, θ_B⟩.
    """
    angle = 0.5 * np.arctan2(2 * ab, bb - aa)
    return np.asarray(np.where(angle < 0, np.where(aa > bb, np.pi / 2, 0.0), angle))


def log_slopes(
    angles: Float[np.ndarray, " targets"], units: Float[np.ndarray, "2 targets"]
) -> Float[np.ndarray, " targets"]:
    """Return log c_t in raw units of A's and B's margins; NaN where the slope is 0 or infinite, or a margin constant.

    Args:
        angles: φ_t of standardized margins.
        units: Standard deviations of A's and of B's raw margins.
    """
    kept = (angles > EDGE) & (angles < np.pi / 2 - EDGE) & (units > 0).all(0)
    safe = np.where(kept, angles, np.pi / 4)
    raw = np.log(np.tan(safe)) + np.log(np.where(kept, units[0], 1.0)) - np.log(np.where(kept, units[1], 1.0))
    return np.asarray(np.where(kept, raw, np.nan))


def slope_spread(
    first: Float[np.ndarray, " targets"],
    second: Float[np.ndarray, " targets"],
    weights: Float[np.ndarray, " targets"],
) -> float:
    """Return the variance of log c_t over targets beyond noise: the covariance of two disjoint halves' logarithms.

    Below zero by chance where all targets react alike. Targets whose slope is not finite in either half count
    nothing.

    Args:
        first: log c_t from one half of the models.
        second: log c_t from the other half.
        weights: Of the targets, 0 or more.
    """
    kept = np.isfinite(first) & np.isfinite(second) & (weights > 0)
    if kept.sum() < 3:
        return 0.0
    w = weights[kept] / weights[kept].sum()
    x, y = first[kept], second[kept]
    return float(w @ ((x - w @ x) * (y - w @ y)) / (1 - np.square(w).sum()))
