"""Means over replicates with their 95 % intervals."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

Interval = dict[str, float | int]
"""`mean`, `low` and `high`, and the number `n` of replicates; low and high are the mean where that is 1."""
LEVEL = 0.95


def interval_of(values: Sequence[float]) -> Interval:
    """Return mean ± t·s/√n of n replicates at LEVEL, Student's t with n − 1 degrees of freedom."""
    found = np.asarray(values, float)
    n, mean = len(found), float(found.mean())
    half = 0.0
    if n > 1:
        half = float(stdtrit(n - 1, (1 + LEVEL) / 2) * found.std(ddof=1) / np.sqrt(n))
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def words(interval: Interval, digits: int = 3) -> str:
    """Return an interval as people read it, the mean alone where there is one replicate."""
    mean = f"{interval['mean']:.{digits}f}"
    return mean if interval["n"] == 1 else f"{mean} [{interval['low']:.{digits}f}, {interval['high']:.{digits}f}]"


def holds(interval: Interval, value: float) -> bool:
    """Return whether a value lies in an interval."""
    return bool(interval["low"] <= value <= interval["high"])
