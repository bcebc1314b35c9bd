"""Subpopulations: the examples at the two ends of a direction."""

import numpy as np
from jaxtyping import Float, Int


def extremes(
    values: Float[np.ndarray, " examples"], count: int
) -> tuple[Int[np.ndarray, " top"], Int[np.ndarray, " bottom"]]:
    """Examples of the largest and of the smallest value, the most extreme first.

    Both ends are kept, since the sign of a principal direction is arbitrary and the ends hold different groups.
    """
    order = np.argsort(values, kind="stable")
    return order[::-1][:count].copy(), order[:count].copy()
