"""Whether a transformation distinguishes two algorithms, does not, or cannot be told yet: three answers with tests.

"Does not react" is shown by two one-sided tests (Schuirmann, 1987): the interval of the effect with chance 1 − 2·alpha
lies within ±epsilon. Where an effect sits in few images, their spread says little of images that are not among those
measured: a group of `unseen_share` of all images may have none among them, and could change by 1. So no end lies closer
to the effect than that share, and with fewer than 59 images no effect below 0.05 can be shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri, stdtrit

from modeldiff_core.statistics import Parts, participation, two_way_interval, unseen_share

Answer = Literal["distinguishing", "not distinguishing", "undecided"]
POWER = 0.8
"""Chance with which the reported numbers of models and images decide."""
SURE = 0.975
"""Chance with which a gap is as wide as it is taken to be.

What is undecided and looks nearly decided is often a stray estimate: of numbers told with 0.9 only 71 % decided.
"""
FARTHEST = 16
"""Multiple of the images up to which it is asked what would decide."""
DOUBLINGS = (1, 2, 4, 8, FARTHEST)


@dataclass(frozen=True)
class Reaction:
    """How an algorithm's models react on a class's probability at full intensity, and how surely that is known.

    effect: mean change over models and images, with low and high the ends for new models and new images, each wrong
    with chance alpha. magnitude: mean over images of the size of an image's mean change over models, which does not
    cancel where images move in opposite senses; its noise cancels, as one half of the models gives the sign and the
    other the size. carriers: participation number of the images' mean changes.
    """

    effect: float
    low: float
    high: float
    magnitude: float
    magnitude_low: float
    magnitude_high: float
    carriers: float
    parts: Parts
    models: int
    images: int

    @classmethod
    def of(cls, changes: Float[np.ndarray, "models images"], alpha: float) -> "Reaction":
        """Measure it; of at least 2 models and images."""
        exact = changes.astype(np.float64)
        interval, parts = two_way_interval(exact, level=1 - 2 * alpha), Parts.of(exact)
        n_models, n_images = exact.shape
        first, second = exact[0::2].mean(0), exact[1::2].mean(0)
        sizes = (np.sign(second) * first + np.sign(first) * second) / 2
        magnitude = float(sizes.mean())
        error = np.sqrt(sizes.var(ddof=1) / n_images + parts.models / n_models)
        half = float(stdtrit(n_images - 1, 1 - alpha) * error)
        unseen = unseen_share(n_images, 1 - alpha)
        return cls(
            effect=interval.mean,
            low=min(interval.low, interval.mean - unseen),
            high=max(interval.high, interval.mean + unseen),
            magnitude=magnitude,
            magnitude_low=magnitude - half,
            magnitude_high=magnitude + max(half, unseen),
            carriers=participation(exact.mean(0)),
            parts=parts,
            models=n_models,
            images=n_images,
        )

    @property
    def largest(self) -> float:
        """Largest size of the effect that its interval allows."""
        return max(abs(self.low), abs(self.high))

    @property
    def least(self) -> float:
        """Least size of the effect that its interval allows."""
        return 0.0 if self.low <= 0 <= self.high else min(abs(self.low), abs(self.high))


@dataclass(frozen=True)
class Margins:
    """What counts as reacting (delta), as not reacting (epsilon), and the chance of error of each test."""

    delta: float
    epsilon: float
    alpha: float


@dataclass(frozen=True)
class Verdict:
    """The answer, why, and for an undecided one the models and images that would decide in 80 % of repetitions.

    models, images: None where the answer is known, or where it cannot be determined how many would do.
    """

    answer: Answer
    why: str
    models: int | None = None
    images: int | None = None


def decide(a: Reaction, b: Reaction, difference: Reaction, p_adjusted: float, margins: Margins) -> Verdict:
    """Return whether the transformation distinguishes A and B. difference: of A's changes minus B's.

    It does if the two differ (p_adjusted ≤ alpha), one reacts (|effect| ≥ delta as measured, and shown to be more than
    epsilon) and the other is shown not to (|effect| < epsilon, and its images move by less than delta on average). It
    does not if one of these is shown to be false: neither reacts (both below delta), both do (both above epsilon, or
    the images of the one whose mean does not move do), or they differ by less than delta − epsilon. Else it is
    undecided.
    """
    more, less = (a, b) if abs(a.effect) >= abs(b.effect) else (b, a)
    if (
        p_adjusted <= margins.alpha
        and abs(more.effect) >= margins.delta
        and more.least > margins.epsilon
        and less.largest < margins.epsilon
        and less.magnitude_high < margins.delta
    ):
        return Verdict("distinguishing", "one reacts, the other is shown not to")
    for false, why in (
        (max(a.largest, b.largest) < margins.delta, "neither reacts"),
        (min(a.least, b.least) > margins.epsilon, "both react"),
        (less.magnitude_low > margins.delta, "both react: images of one move in opposite senses"),
        (difference.largest < margins.delta - margins.epsilon, "their effects are shown to be alike"),
    ):
        if false:
            return Verdict("not distinguishing", why)
    found = _enough(more, less, difference, margins)
    why = _open_question(more, less, p_adjusted, margins)
    return Verdict("undecided", why, *(found or (None, None)))


def _open_question(more: Reaction, less: Reaction, p_adjusted: float, margins: Margins) -> str:
    """Return what could not be shown."""
    if abs(more.effect) < margins.delta or more.least <= margins.epsilon:
        return "whether either reacts"
    if less.largest >= margins.epsilon:
        return "whether the other reacts, too"
    if less.magnitude_high >= margins.delta:
        return "how far single images move"
    return "whether they differ" if p_adjusted > margins.alpha else "whether either reacts"


@dataclass(frozen=True)
class _Gap:
    """A distance that an interval has to stay clear of: what is varying, and at how many standard errors."""

    distance: float
    parts: Parts
    quantile: float


def _enough(more: Reaction, less: Reaction, difference: Reaction, margins: Margins) -> tuple[int, int] | None:
    """Return the least models and images with which one of the answers is reached in 80 % of repetitions.

    Each way to an answer asks for some gaps; a gap g is cleared in 80 % of repetitions if the standard error is at most
    g/(quantile + 0.84). Gaps are known no better than the effects, so each is shortened by 1.96 standard errors first.
    """
    models, images = min(more.models, less.models), more.images
    for factor in DOUBLINGS:
        n = factor * images
        reached = [
            found
            for way in _ways(more, less, difference, margins, n)
            if (found := _clears(way, models, images, n)) is not None
        ]
        if reached:
            return min(reached, key=lambda both: both[0] * both[1])
    return None


def _clears(way: Sequence[_Gap], models: int, images: int, n: int) -> tuple[int, int] | None:
    """Return models and images, at least n, that clear all gaps of a way; None if they are not known to be any."""
    wanted = []
    for gap in way:
        known = gap.distance - float(ndtri(SURE)) * gap.parts.error(models, images)
        wished = known / (gap.quantile + float(ndtri(POWER)))
        enough = gap.parts.enough(wished, models, n) if known > 0 else None
        if enough is None:
            return None
        wanted.append(enough)
    return max(found[0] for found in wanted), max(found[1] for found in wanted)


def _ways(more: Reaction, less: Reaction, difference: Reaction, margins: Margins, n: int) -> Iterator[tuple[_Gap, ...]]:
    """Yield the gaps to be cleared for each answer that n images can give, whatever groups they may have missed."""
    one_sided, strict = float(ndtri(1 - margins.alpha)) + 0.1, 3.3  # for few models; for p adjusted over many tests
    delta, epsilon = margins.delta, margins.epsilon

    def gap(distance: float, of: Reaction, quantile: float = one_sided) -> _Gap:
        return _Gap(distance, of.parts, quantile)

    unseen = unseen_share(n, 1 - margins.alpha)

    def strayed(of: Reaction) -> float:
        return float(ndtri(SURE)) * of.parts.error(of.models, of.images)

    def below(of: Reaction, limit: float) -> bool:
        return abs(of.effect) + strayed(of) + unseen < limit

    def above(of: Reaction, limit: float) -> bool:
        return abs(of.effect) - strayed(of) - unseen > limit

    large, small = abs(more.effect), abs(less.effect)
    if large >= delta and above(more, epsilon) and below(less, epsilon):
        yield (
            gap(epsilon - small, less),
            gap(large - epsilon, more),
            gap(delta - less.magnitude, less),
            gap(abs(difference.effect), difference, strict),
        )
    if below(more, delta) and below(less, delta):
        yield gap(delta - large, more), gap(delta - small, less)
    if above(more, epsilon) and above(less, epsilon):
        yield gap(large - epsilon, more), gap(small - epsilon, less)
    yield (gap(less.magnitude - delta, less),)
    if below(difference, delta - epsilon):
        yield (gap(delta - epsilon - abs(difference.effect), difference),)
