"""From changes of every model and image to what is said of a transformation: effects, tests, a decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from modeldiff_core.statistics import Difference, Interval, difference_test, holm, two_way_interval
from modeldiff_core.transformations.candidates import TransformationTest
from modeldiff_core.transformations.effects import Changes, EffectSettings, is_distinguishing


@dataclass(frozen=True)
class Reading:
    """The effect on one output at each intensity: A's and B's with intervals, and their difference with its test."""

    a: tuple[Interval, ...]
    b: tuple[Interval, ...]
    difference: tuple[Difference, ...]


@dataclass(frozen=True)
class Measured:
    """A transformation's effects on the probability and on the margin of its class, over so many images."""

    test: TransformationTest
    images: int
    probability: Reading
    margin: Reading


@dataclass(frozen=True)
class Judged:
    """A measured transformation with p adjusted over everything tested with it, at full intensity."""

    measured: Measured
    p_probability: float
    p_margin: float
    distinguishing: bool


def read(
    test: TransformationTest, a: Changes, b: Changes, level: float, models: Literal["independent", "paired"]
) -> Measured:
    """Return two-way intervals of A's and B's effects, and tests of their difference, at every intensity.

    models: 'paired' where model m of A and of B were trained from one seed (see `difference_test`).
    """

    def reading(
        of_a: Float[np.ndarray, "intensities models_a images"], of_b: Float[np.ndarray, "intensities models_b images"]
    ) -> Reading:
        return Reading(
            tuple(two_way_interval(x, level=level) for x in of_a),
            tuple(two_way_interval(x, level=level) for x in of_b),
            tuple(difference_test(x, y, level=level, models=models) for x, y in zip(of_a, of_b, strict=True)),
        )

    images = a.probability.shape[2]
    return Measured(test, images, reading(a.probability, b.probability), reading(a.margin, b.margin))


def judge(measured: Sequence[Measured], settings: EffectSettings) -> tuple[Judged, ...]:
    """Adjust p over all of them and both outputs at full intensity (Holm), and decide which distinguish.

    What distinguishes is decided by the probability (arXiv 2211.12491); the margin is told beside it.
    """
    tests = [reading.difference[-1].p for one in measured for reading in (one.probability, one.margin)]
    adjusted = holm(np.array(tests)).reshape(-1, 2)
    out = []
    for one, (p_probability, p_margin) in zip(measured, adjusted.tolist(), strict=True):
        a, b = one.probability.a[-1].mean, one.probability.b[-1].mean
        decided = is_distinguishing(
            a, b, p_probability, delta=settings.delta, epsilon=settings.epsilon, alpha=settings.alpha
        )
        out.append(Judged(one, p_probability, p_margin, decided))
    return tuple(out)
