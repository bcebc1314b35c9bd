"""Power: how many models a difference would take to stand out from chance."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

SURE = 0.8
"""Chance with which a number of models that is reported is enough."""


@dataclass(frozen=True)
class ModelsNeeded:
    """Models with which a difference would stand out in 80 % of repetitions.

    models: enough for the least difference that the data allow. likely: enough for the difference as it was measured.
    """

    models: int
    likely: int


def critical_difference(null: Float[np.ndarray, " draws"], tests: int, significance: float) -> float | None:
    """Return the null draw that a difference must exceed for p · tests to be at most `significance`.

    None if there are too few draws for any p to be that small.
    """
    allowed = math.floor(significance * (1 + len(null)) / tests + 1e-9) - 1
    return float(np.sort(null)[::-1][allowed]) if 0 <= allowed < len(null) else None


def models_needed(
    difference: float, null: Float[np.ndarray, " draws"], models: int, tests: int, significance: float
) -> ModelsNeeded | None:
    """Return the models of each algorithm with which a difference of variance stands out; None if that cannot be told.

    q is the difference that chance reaches in any of the `tests` directions with chance 1 − SURE, c the one that it
    must not reach, s the null's standard deviation. The true difference is at least d − q with chance SURE, also of the
    best of all directions; at zero or below there is no number. A difference t stands out in 80 % of repetitions with
    m′ models where t ≥ (c + 0.84·s)·√(m/m′): both fall at least as fast as 1/√m′, since a cross-fitted variance is
    quadratic in datamodels whose errors do. So m′ = m·((c + 0.84·s)/t)², at t = d − q and, as the likely number, t = d.
    None where draws are too few for any p to be small enough.
    """
    critical = critical_difference(null, tests, significance)
    by_chance = critical_difference(null, tests, 1 - SURE)
    if critical is None or by_chance is None or difference <= by_chance:
        return None
    reached = critical + float(ndtri(SURE)) * float(null.std())

    def enough(true: float) -> int:
        return math.ceil(models * max(1.0, reached / true) ** 2)

    return ModelsNeeded(enough(difference - by_chance), enough(difference))
