"""The results of a check: comparisons with a bound, and rates without one."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


class NotHereError(Exception):
    """Says why a check has nothing to do on this device."""


@dataclass(frozen=True)
class Bench:
    """The surroundings of a check.

    device: a torch device. quick: a little of everything, to try the script out. until: time.monotonic() at which the
    check is ended, whether it is done or not.
    """

    device: str
    quick: bool = False
    until: float = math.inf

    @property
    def cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    @property
    def left(self) -> float:
        """Seconds until the check is ended."""
        return self.until - time.monotonic()


@dataclass(frozen=True)
class Comparison:
    """A result on the device with its reference; `difference` must be at most `tolerance`, in the same unit."""

    case: str
    difference: float
    tolerance: float
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance; NaN is not."""
        return bool(self.difference <= self.tolerance)


@dataclass(frozen=True)
class Rate:
    """The time that one model or one target takes on the device, by the clock, idle parts included.

    seconds: for each item. share: of the device's peak in large bfloat16 matrix products, 0..1. ratio: of the seconds
    of the usual way to these. megabytes: most memory taken up.
    """

    case: str
    way: str
    seconds: float
    item: str = "model"
    share: float | None = None
    ratio: float | None = None
    megabytes: float | None = None


Result = Comparison | Rate


@dataclass(frozen=True)
class Check:
    """A named function of the bench that yields results as they come; `seconds` is the most time that it may take."""

    name: str
    run: Callable[[Bench], Iterator[Result]]
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """The end of a check. status: 'done', 'skipped', 'failed' (raised or died) or 'out of time'; reason: why."""

    check: str
    status: str
    reason: str
    results: tuple[Result, ...]
    seconds: float

    @property
    def comparisons(self) -> list[Comparison]:
        """The comparisons among the results."""
        return [one for one in self.results if isinstance(one, Comparison)]

    @property
    def rates(self) -> list[Rate]:
        """The rates among the results."""
        return [one for one in self.results if isinstance(one, Rate)]

    @property
    def holds(self) -> bool:
        """Whether the check came to its end and every comparison is within its tolerance."""
        return self.status in ("done", "skipped") and all(one.holds for one in self.comparisons)


def compared(
    case: str, found: np.ndarray, reference: np.ndarray, scale: float, tolerance: float, note: str = ""
) -> Comparison:
    """Return the largest absolute difference of two arrays of one shape, in units of `scale`.

    A scale that is zero or not finite means that nothing was computed that could differ: the difference is then
    infinite. So it is for arrays of different shapes.
    """
    if found.shape != reference.shape or not (math.isfinite(scale) and scale > 0):
        return Comparison(case, math.inf, tolerance, note)
    return Comparison(case, float(np.abs(found.astype(float) - reference).max() / scale), tolerance, note)
