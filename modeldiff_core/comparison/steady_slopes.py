"""Slopes of targets drawn toward the slope that all have in common, as far as noise accounts for their differences.

A target's own slope φ_t is off by δ_t = ⟨θ_z,t, θ_l,t⟩/‖θ_l,t‖², z = cos φ·y_A − sin φ·y_B across a slope φ and
l = sin φ·y_A + cos φ·y_B along it. At the target's own estimate z holds −δ_t·l: part of what A and B share. A null that
puts z to other masks then treats that part as noise and takes it away from where it was. With no more models than
training examples its draws vary too little, and an algorithm against itself with other seeds gave p = .01 again and
again (benchmarks/trained_nulls.py). So the null is drawn at

    φ̃_t = φ + x̄ + s²/(s² + n_t)·(x_t − x̄),

x_t the first-order estimate of φ_t − φ, the mean of both halves', x̄ their mean over targets, s² the covariance of the
halves' x_t less SURE of its standard errors (how slopes surely vary beyond noise, 0 or more), n_t = κ/‖θ_l,t‖² the
variance of the noise in x_t, with κ from the halves' differences. Targets count by the squared lengths of their
datamodels.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.slopes import slope_angles

SURE = 2.0
"""Standard errors, over targets, by which slopes have to vary beyond noise before any of that is believed.

Where models are fewer than the training examples a covariance of chance would keep nearly all of the noise.
"""
LEAST_LENGTH = 0.25
"""Of the median over targets, the least ‖θ_l‖² by which products are divided."""

LEAST_LEFT = 0.01
"""The same for lengths outside several directions, of which targets that mostly rest on these have little left."""
LEAST_SPREAD = 0.1
"""Deviation of slopes over targets, in radians, that is taken to be there whatever both halves say."""

Products = tuple[Float[np.ndarray, " targets"], Float[np.ndarray, " targets"], Float[np.ndarray, " targets"]]
"""⟨θ_A,θ_A⟩, ⟨θ_A,θ_B⟩, ⟨θ_B,θ_B⟩ of each target without noise."""


def steady_angles(
    halves: Sequence[Products],
    pooled: Products,
    weights: Float[np.ndarray, " targets"],
    whole: Sequence[Products] | None = None,
) -> Float[np.ndarray, " targets"]:
    """Return φ̃_t of every target.

    Args:
        halves: Products within each of two disjoint halves of the models, outside the leading direction.
        pooled: Products of all models, the same.
        weights: Of the targets, 0 or more; those of 0 get the common slope.
        whole: Products within each half with the leading direction in them. What slopes vary is the lesser of both:
            a direction of chance, which both halves chose, bends both halves' slopes outside it alike, and one along
            which A and B differ bends those that hold it.
    """
    kept = weights > 0
    if not kept.any():
        return slope_angles(*pooled)
    w = weights / weights.sum()
    common = float(slope_angles(*(np.array([float(part[kept].sum())]) for part in pooled))[0])
    c, s = np.cos(common), np.sin(common)
    aa, ab, bb = pooled
    lengths = s * s * aa + 2 * s * c * ab + c * c * bb
    # Products of margins that hardly depend on the training examples are 0 in the mean, and as often below it.
    usual = float(np.median(np.abs(lengths[kept])))
    if usual == 0:
        return np.full(len(weights), common)
    lengths = np.maximum(lengths, LEAST_LENGTH * usual)

    def off(products: Sequence[Products]) -> Float[np.ndarray, "2 targets"]:
        return np.stack([(c * s * (a - b) + (c * c - s * s) * both) / lengths for a, both, b in products])

    own = off(halves)
    around = _around(own, w)
    spread = min(_surely(_around(each, w), w) for each in ([own] if whole is None else [own, off(whole)]))
    noise = float(w @ (np.square(around[0] - around[1]) / 4 * lengths)) / lengths
    share = np.divide(spread, spread + noise, out=np.zeros_like(noise), where=spread + noise > 0)
    found = common + float(w @ own.mean(0)) + np.where(kept, share * around.mean(0), 0.0)
    return np.asarray(np.clip(found, 0.0, np.pi / 2))


def held_angles(
    halves: Sequence[Products],
    angles: Sequence[Float[np.ndarray, " targets"]],
    alike: Float[np.ndarray, " targets"],
    weights: Float[np.ndarray, " targets"],
) -> list[Float[np.ndarray, " targets"]]:
    """Return each half's slopes, drawn towards one multiple c of those of `alike` as far as little is left of a target.

        φ'_t = φ̄_t + s²/(s² + n_t)·(φ_t − φ̄_t),   tan φ̄_t = c·tan(alike_t),

    c from the products of all targets of that half, s² the covariance of both halves' first-order deviations, at least
    LEAST_SPREAD², and n_t = κ/‖θ_l,t‖² the variance of their noise in one half, as in ``steady_angles``. A target that
    mostly rests on directions outside which slopes are estimated has a slope of noise otherwise: what A and B share of
    it then appears as a difference of its own, and, since it is left out next time, ever more of it.

    Args:
        halves: Products within each half outside the directions.
        angles: φ_t of each half.
        alike: φ_t where all targets react alike.
        weights: Of the targets, 0 or more; only those above count for c, s² and κ.
    """
    kept, ratio = weights > 0, np.tan(alike)
    middles, off, lengths = [], [], []
    for aa, ab, bb in halves:
        sums = (float((aa * ratio)[kept].sum()), float(ab[kept].sum()), float((bb / ratio)[kept].sum()))
        middle = np.arctan(np.tan(slope_angles(*(np.array([each]) for each in sums))) * ratio)
        c, s = np.cos(middle), np.sin(middle)
        length = s * s * aa + 2 * s * c * ab + c * c * bb
        usual = float(np.median(np.abs(length[kept]))) if kept.any() else 0.0
        length = np.maximum(length, max(LEAST_LEFT * usual, np.finfo(np.float64).tiny))
        middles.append(middle)
        off.append((c * s * (aa - bb) + (c * c - s * s) * ab) / length)
        lengths.append(length)
    length, w = (lengths[0] + lengths[1]) / 2, np.where(kept, (lengths[0] + lengths[1]) / 2, 0.0)
    w = w / max(float(w.sum()), np.finfo(np.float64).tiny)
    noise = float(w @ (np.square(off[0] - off[1]) / 2 * length)) / length
    spread = max(float(w @ (off[0] * off[1])), LEAST_SPREAD**2)
    share = spread / (spread + noise)
    return [middle + share * (angle - middle) for middle, angle in zip(middles, angles, strict=True)]


def _around(values: Float[np.ndarray, "2 targets"], w: Float[np.ndarray, " targets"]) -> Float[np.ndarray, "2 targets"]:
    return np.asarray(values - (values @ w)[:, None])


def _surely(around: Float[np.ndarray, "2 targets"], w: Float[np.ndarray, " targets"]) -> float:
    """Return the covariance of both halves less SURE standard errors over targets, 0 or more."""
    products = around[0] * around[1]
    covariance = float(w @ products)
    return max(covariance - SURE * float(np.linalg.norm(w * (products - covariance))), 0.0)
