"""Power: how many models a difference would take to stand out from chance."""

import math

import numpy as np
from jaxtyping import Float

NEAR = 0.25
"""Largest p, not adjusted, of a direction that just misses."""


def critical_difference(null: Float[np.ndarray, " draws"], tests: int, significance: float) -> float | None:
    """Return the null draw that a difference must exceed for p · tests to be at most `significance`.

    None if there are too few draws for any p to be that small.
    """
    allowed = math.floor(significance * (1 + len(null)) / tests + 1e-9) - 1
    return float(np.sort(null)[::-1][allowed]) if 0 <= allowed < len(null) else None


def models_needed(
    difference: float, null: Float[np.ndarray, " draws"], models: int, tests: int, significance: float
) -> int | None:
    """Models with which a difference of this size is as large as what chance must not reach: m·(c/d)².

    c is the critical difference, which falls at least as fast as 1/√m, since a cross-fitted variance is quadratic in
    datamodels whose errors do; so the number is an upper estimate of what finds it in half of all repetitions.
    None for a difference that is not above zero, and where there are too few draws.
    """
    critical = critical_difference(null, tests, significance)
    if critical is None or difference <= 0:
        return None
    return math.ceil(models * max(1.0, critical / difference) ** 2)
