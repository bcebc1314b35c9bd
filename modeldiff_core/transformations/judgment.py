"""From changes of every model and image to what is said of a transformation: effects, tests, a decision."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from modeldiff_core.statistics import Difference, Interval, difference_test, holm, two_way_interval
from modeldiff_core.transformations.candidates import TransformationTest
from modeldiff_core.transformations.effects import Changes, EffectSettings
from modeldiff_core.transformations.equivalence import Margins, Reaction, Verdict, decide


@dataclass(frozen=True)
class Reading:
    """The effect on one output at each intensity: A's and B's with intervals, and their difference with its test."""

    a: tuple[Interval, ...]
    b: tuple[Interval, ...]
    difference: tuple[Difference, ...]


@dataclass(frozen=True)
class Reactions:
    """Reactions on the probability at full intensity: A's, B's, and the difference of A's changes from B's."""

    a: Reaction
    b: Reaction
    difference: Reaction


@dataclass(frozen=True)
class Measured:
    """A transformation's effects on the probability and on the margin of its class, over this many images."""

    test: TransformationTest
    images: int
    probability: Reading
    margin: Reading
    reactions: Reactions


@dataclass(frozen=True)
class Judged:
    """A measured transformation with p adjusted over everything tested with it, at full intensity."""

    measured: Measured
    p_probability: float
    p_margin: float
    verdict: Verdict

    @property
    def distinguishing(self) -> bool:
        """Whether it is shown to distinguish."""
        return self.verdict.answer == "distinguishing"


def read(
    test: TransformationTest,
    a: Changes,
    b: Changes,
    settings: EffectSettings,
    models: Literal["independent", "paired"],
) -> Measured:
    """Return two-way intervals of A's and B's effects, tests of their difference at every intensity, and reactions.

    models: 'paired' where model m of A and of B were trained from one seed (see `difference_test`).
    """
    level = settings.level

    def reading(
        of_a: Float[np.ndarray, "intensities models_a images"], of_b: Float[np.ndarray, "intensities models_b images"]
    ) -> Reading:
        return Reading(
            tuple(two_way_interval(x, level=level) for x in of_a),
            tuple(two_way_interval(x, level=level) for x in of_b),
            tuple(difference_test(x, y, level=level, models=models) for x, y in zip(of_a, of_b, strict=True)),
        )

    images = a.probability.shape[2]
    of_a, of_b = a.probability[-1], b.probability[-1]
    reactions = Reactions(
        Reaction.of(of_a, settings.alpha), Reaction.of(of_b, settings.alpha), _difference(of_a, of_b, models, settings)
    )
    return Measured(test, images, reading(a.probability, b.probability), reading(a.margin, b.margin), reactions)


def _difference(
    a: Float[np.ndarray, "models_a images"],
    b: Float[np.ndarray, "models_b images"],
    models: Literal["independent", "paired"],
    settings: EffectSettings,
) -> Reaction:
    """Return the reaction of the difference, with the interval of the test where models are not paired."""
    if models == "paired":
        return Reaction.of(a.astype(np.float64) - b, settings.alpha)
    test, count = difference_test(a, b, level=1 - 2 * settings.alpha), min(len(a), len(b))
    both = Reaction.of(a[:count].astype(np.float64) - b[:count], settings.alpha)
    apart = test.mean - both.effect  # of as many models of each and of all models
    low, high = min(test.low, both.low + apart), max(test.high, both.high + apart)
    return replace(both, effect=test.mean, low=low, high=high)


def judge(measured: Sequence[Measured], settings: EffectSettings) -> tuple[Judged, ...]:
    """Adjust p over all of them and both outputs at full intensity (Holm), and decide which distinguish.

    What distinguishes is decided by the probability (arXiv 2211.12491); the margin is reported beside it.
    """
    tests = [reading.difference[-1].p for one in measured for reading in (one.probability, one.margin)]
    adjusted = holm(np.array(tests)).reshape(-1, 2)
    margins = Margins(settings.delta, settings.epsilon, settings.alpha)
    out = []
    for one, (p_probability, p_margin) in zip(measured, adjusted.tolist(), strict=True):
        known = one.reactions
        verdict = decide(known.a, known.b, known.difference, p_probability, margins)
        out.append(Judged(one, p_probability, p_margin, verdict))
    return tuple(out)
