"""Subpopulations: the examples at the two ends of a direction."""

import numpy as np
from jaxtyping import Float, Int


def extremes(
    values: Float[np.ndarray, " examples"], count: int
) -> tuple[Int[np.ndarray, " top"], Int[np.ndarray, " bottom"]]:
    """Return the positions of the `count` largest and of the `count` smallest values, the most extreme first.

    Both ends are kept, since the sign of a principal direction is arbitrary and the ends hold different groups.
    """
    order = np.argsort(values, kind="stable")
    return order[::-1][:count].copy(), order[:count].copy()


def shared_extremes(one: Float[np.ndarray, " examples"], other: Float[np.ndarray, " examples"], count: int) -> float:
    """Share of the `count` examples at each end of one that are at the same end of the other; mean over both ends."""
    pairs = zip(extremes(one, count), extremes(other, count), strict=True)
    return float(np.mean([len(np.intersect1d(x, y)) / max(1, len(x)) for x, y in pairs]))
