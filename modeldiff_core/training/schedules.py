"""Learning rates over the steps of a training run."""

import math
from typing import Literal, assert_never

Schedule = Literal["constant", "cosine", "triangular"]


def learning_rate(schedule: Schedule, step: int, steps: int, maximum: float, peak: float) -> float:
    """Return the learning rate of step 0 ≤ step < steps.

    The schedules are constant: maximum; cosine: maximum·(1 + cos(π·step/steps))/2; triangular: rises linearly to the
    maximum at peak·steps and falls linearly toward 0, with steps taken at their middles so that no step has rate 0.
    """
    at = (step + 0.5) / steps
    if schedule == "constant":
        return maximum
    if schedule == "cosine":
        return maximum * (1 + math.cos(math.pi * step / steps)) / 2
    if schedule == "triangular":
        return maximum * (at / peak if at < peak else (1 - at) / (1 - peak))
    assert_never(schedule)
