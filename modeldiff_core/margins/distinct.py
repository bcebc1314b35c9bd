"""How many values margins take: few of them, or many at a clip, leave a regression little to explain."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

FEW = 20
"""Distinct values up to which margins count as having few."""
SHARE = 0.1
"""Share of margins at one value from which on it is worth a word."""
LEAST = 200
"""Margins below which nothing is said."""


@dataclass(frozen=True)
class Distinct:
    """Distinct values among some margins.

    Attributes:
        values: How many there are.
        most: The most frequent value.
        share: The share of margins that have it, or its negative.
    """

    values: int
    most: float
    share: float

    @classmethod
    def of(cls, margins: Float[np.ndarray, "models targets"]) -> "Distinct | None":
        """Return what is to be said of margins; None where they take many values, or are too few to tell."""
        if margins.size < LEAST:
            return None
        values, counts = np.unique(np.abs(margins), return_counts=True)
        most = int(counts.argmax())
        found = cls(len(np.unique(margins)), float(values[most]), float(counts[most] / margins.size))
        return found if found.values <= FEW or found.share >= SHARE else None
