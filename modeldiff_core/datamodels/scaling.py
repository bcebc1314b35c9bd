"""Margins of any size: targets far from 1 are fitted in units of a power of two, which rounds nothing."""

import numpy as np
from jaxtyping import Float, Int

MODERATE = 40
"""Largest exponent of two of a target's largest margin whose squares and their sums single precision holds."""


def far_exponents(margins: Float[np.ndarray, "models targets"]) -> Int[np.ndarray, " targets"]:
    """Return the exponent of two of each target's largest margin where it is beyond ±MODERATE, else 0."""
    largest = np.maximum(margins.max(axis=0, initial=0), -margins.min(axis=0, initial=0))
    _, exponents = np.frexp(largest)
    return np.where(np.abs(exponents) > MODERATE, exponents, 0).astype(np.int64)
