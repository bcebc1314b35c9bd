"""Values with 95 % intervals, many at a time."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

LEVEL = 0.95


@dataclass(frozen=True)
class Intervals:
    """Values with the ends of their intervals.

    Attributes:
        value: Of the fit.
        low: Lower ends.
        high: Upper ends.

    """

    value: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]

    @property
    def width(self) -> Float[np.ndarray, " points"]:
        """Upper minus lower end."""
        return np.asarray(self.high - self.low)

    def row(self, at: int) -> dict[str, float]:
        """Return one of them as plain values."""
        return {"value": float(self.value[at]), "low": float(self.low[at]), "high": float(self.high[at])}


def intervals(laws: Float[np.ndarray, "laws points"]) -> Intervals:
    """Return the first row with the quantiles of the others as 95 % intervals.

    Quantile p of m draws is the p·(m + 1)-th of them: with 100 draws, others lie too far in.
    """
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(laws[1:], ends, axis=0, method="weibull") if len(laws) > 1 else (laws[0], laws[0])
    return Intervals(laws[0], low, high)
