"""Screening of models by their margins: which cannot be models among the others, and which are strange.

A single model with margins far from all others' decides a least squares fit alone: margins 30 times as large in one of
300 models hid a planted direction and showed another one. So every model is measured against the others before anything
is fitted:

    size   rms over targets of (margin − that target's median over models)
    reach  rms over targets of the margin itself

both divided by their medians over models. Of a model whose margins were multiplied by c both are near c. A model at
chance among sure ones has a large size and a small reach; where all margins are far from zero, or are probabilities,
reaches hardly differ. So only a model that is far out in both cannot be a model among the others.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

Choice = Literal["leave_out", "name"]

WILD = 10.0
"""A model whose size and reach are both more than so many times the usual cannot be a model among these.

Margins of an average model multiplied by 30 give 30; the most extreme model of every shipped study gives 1.32 (measured
by benchmarks/screening.py, in benchmarks/RESULTS.md).
"""
STRANGE = 3.0
"""Beyond so many times, or below one over so many times, the usual reach a model is named, and beyond WILD sizes."""
DEVIATIONS = 6.0
"""All that counts only beyond so many robust standard deviations of the logarithm: few targets make reaches vary."""
ACCURACY_DEVIATIONS = 5.0
"""Robust standard deviations below the median at which an accuracy is named, if it is also far below in points."""
ACCURACY_GAP = 0.15
"""Points of accuracy (or half the way to chance, where that is less) that it has to lie below the median."""
CHANCE_DEVIATIONS = 6.0
"""Standard deviations of an accuracy on so many targets that a gap has to exceed."""
SAMPLE = 1000
"""Most models, evenly spaced, whose medians stand for the medians of all."""
BY_CHANCE = 1e-6
"""Chance at which a model of 0/1 margins may be wrong about every target and still be taken for one."""


@dataclass(frozen=True)
class Screening:
    """What becomes of models that stand out.

    Attributes:
        wild: Of models that cannot be models among these: all margins zero, or beyond WILD times the usual.
        strange: Of models that only stand out: margins beyond STRANGE times the usual, or at chance among good ones.
    """

    wild: Choice = "leave_out"
    strange: Choice = "name"

    def choices(self) -> dict[str, str]:
        """Return the choices that are not the usual ones, by name."""
        usual = Screening()
        return {name: value for name, value in vars(self).items() if value != getattr(usual, name)}


@dataclass(frozen=True)
class Usual:
    """What is usual of the margins of some models.

    Attributes:
        centers: Each target's median margin.
        binary: Whether margins are 0 and 1 alone, such as whether a prediction is right.
    """

    centers: Float[np.ndarray, " targets"]
    binary: bool

    @classmethod
    def of(cls, margins: Float[np.ndarray, "models targets"]) -> "Usual":
        """Return the medians of these models."""
        centers = np.median(margins.astype(np.float64), axis=0)
        return cls(centers, bool(((margins == 0) | (margins == 1)).all()))


@dataclass(frozen=True)
class Measures:
    """What was measured of models, one value each: see the head of this module. right: share of right predictions."""

    size: Float[np.ndarray, " models"]
    reach: Float[np.ndarray, " models"]
    right: Float[np.ndarray, " models"]
    zero: Bool[np.ndarray, " models"]

    @classmethod
    def of(
        cls, margins: Float[np.ndarray, "models targets"], usual: Usual, right_above: float | None = 0.0
    ) -> "Measures":
        """Return the measures of some models, against what is usual of all.

        Args:
            margins: Finite margins.
            usual: Medians over all models.
            right_above: Margin above which a prediction is right; None where margins do not tell.
        """
        zero = np.asarray(~margins.any(axis=1))
        above = 0.5 if usual.binary else right_above
        right = np.full(len(margins), np.nan) if above is None else (margins > above).mean(axis=1)
        exact = margins.astype(np.float64)
        return cls(_rms(exact - usual.centers), _rms(exact), right, zero)

    @classmethod
    def joined(cls, parts: Iterable["Measures"]) -> "Measures":
        """Return the measures of all parts."""
        found = list(parts)
        return cls(*(np.concatenate([getattr(part, name) for part in found]) for name in cls.__annotations__))


@dataclass(frozen=True)
class Screened:
    """Verdicts on models, one each, and the measures behind them in units of their medians.

    Attributes:
        wild: Cannot be models among these.
        strange: Stand out only.
        size: Size over the usual one.
        reach: Reach over the usual one.
        right: Share of right predictions; NaN where margins do not tell.
        zero: All margins are 0.
    """

    wild: Bool[np.ndarray, " models"]
    strange: Bool[np.ndarray, " models"]
    size: Float[np.ndarray, " models"]
    reach: Float[np.ndarray, " models"]
    right: Float[np.ndarray, " models"]
    zero: Bool[np.ndarray, " models"]

    def left_out(self, asked: Screening) -> Bool[np.ndarray, " models"]:
        """Return the models that are left out under a choice."""
        out = np.zeros(len(self.wild), dtype=bool)
        for name, which in (("wild", self.wild), ("strange", self.strange)):
            if getattr(asked, name) == "leave_out":
                out |= which
        return out

    def reasons(self, models: Int[np.ndarray, " chosen"]) -> list[dict[str, Any]]:
        """Return what stands out of some models, in plain values by model: reach, size and accuracy."""
        return [
            {
                "model": int(model),
                "times": float(f"{self.reach[model]:.4g}"),
                "accuracy": None if np.isnan(self.right[model]) else float(f"{self.right[model]:.4g}"),
            }
            for model in models
        ]


def screened(
    measures: Measures, usual: Usual, taken: Bool[np.ndarray, " models"], classes: int | None = None
) -> Screened:
    """Judge models by their measures against the medians over those that are taken.

    Args:
        measures: Of all models; those of models that are not taken may be anything.
        usual: What the measures were made against.
        taken: Models that may be judged: finite, and not left out for another reason.
        classes: Number of classes, for the accuracy of chance; unknown if None.
    """
    models = len(taken)
    nothing = np.zeros(models, dtype=bool)
    if taken.sum() < 4:
        return Screened(nothing, nothing, np.ones(models), np.ones(models), measures.right, measures.zero & taken)
    zero = measures.zero & taken
    if usual.binary:  # nothing right at all is a rare model of few targets, not a row that was never written
        wrong = 1 - float(np.median(measures.right[taken]))
        zero &= wrong ** len(usual.centers) < BY_CHANCE
    judged = taken & ~zero
    size, reach = (_ratios(values, judged) for values in (measures.size, measures.reach))
    far_out, further = (_log_deviations(values, judged) for values in (size, reach))
    differs = judged & (size > WILD) & (far_out > DEVIATIONS)
    large = judged & (reach > STRANGE) & (further > DEVIATIONS)
    small = judged & (reach < 1 / STRANGE) & (further < -DEVIATIONS)
    if usual.binary:  # a share of right predictions: its accuracy says it all
        differs = large = small = nothing
    wild = zero | (differs & large & (reach > WILD))
    strange = (differs | large | small | _poor(measures.right, judged, len(usual.centers), classes)) & ~wild
    return Screened(wild, strange, size, reach, measures.right, zero)


def screen(
    margins: Float[np.ndarray, "models targets"],
    taken: Bool[np.ndarray, " models"],
    *,
    right_above: float | None = 0.0,
    classes: int | None = None,
) -> Screened:
    """Judge models whose margins are all in memory; see ``screened``."""
    usual = Usual.of(margins[sample_of(np.flatnonzero(taken))] if taken.any() else margins[:1])
    measures = Measures.joined(
        Measures.of(np.where(taken[rows, None], margins[rows], 0), usual, right_above) for rows in _parts(len(margins))
    )
    return screened(measures, usual, taken, classes)


def sample_of(models: Int[np.ndarray, " models"]) -> Int[np.ndarray, " chosen"]:
    """Return at most SAMPLE of these models, evenly spaced."""
    if len(models) <= SAMPLE:
        return models
    return models[np.linspace(0, len(models) - 1, SAMPLE).round().astype(np.int64)]


def _parts(models: int) -> Iterator[slice]:
    """Yield slices of models of which float64 copies are made."""
    return (slice(start, min(start + 4096, models)) for start in range(0, models, 4096))


def _rms(values: Float[np.ndarray, "models targets"]) -> Float[np.ndarray, " models"]:
    """Return root mean squares over targets; scaled first, so that no square overflows."""
    largest = np.abs(values).max(axis=1, initial=0)
    scaled = np.divide(values, largest[:, None], out=np.zeros_like(values), where=largest[:, None] > 0)
    return np.asarray(largest * np.sqrt(np.square(scaled).mean(axis=1)))


def _ratios(values: Float[np.ndarray, " models"], judged: Bool[np.ndarray, " models"]) -> Float[np.ndarray, " models"]:
    """Return values over the median of the judged ones; 1 where that is zero and nothing is usual."""
    usual = float(np.median(values[judged])) if judged.any() else 0.0
    return values / usual if usual > 0 else np.ones(len(values))


def _log_deviations(
    values: Float[np.ndarray, " models"], judged: Bool[np.ndarray, " models"]
) -> Float[np.ndarray, " models"]:
    """Return the robust deviations of the logarithms."""
    return _deviations(np.log(np.maximum(values, 1e-300)), judged)


def _deviations(
    values: Float[np.ndarray, " models"], judged: Bool[np.ndarray, " models"]
) -> Float[np.ndarray, " models"]:
    """Return distances from the median in robust standard deviations, 1.4826·MAD of the judged; at least 1e-3."""
    if not judged.any():
        return np.zeros(len(values))
    middle = np.median(values[judged])
    spread = 1.4826 * float(np.median(np.abs(values[judged] - middle)))
    return np.asarray((values - middle) / max(spread, 1e-3))


def _poor(
    right: Float[np.ndarray, " models"], judged: Bool[np.ndarray, " models"], targets: int, classes: int | None
) -> Bool[np.ndarray, " models"]:
    """Return models whose accuracy is far below the others'.

    Either ACCURACY_DEVIATIONS below the median, or with less than half of what the best tenth has above chance (0 if
    nobody knows how many classes there are), which finds them where they are many; both only if the gap is more than
    ACCURACY_GAP (of half the way from the median to chance, where that is less) and than so few targets make by chance.
    """
    if not judged.any() or np.isnan(right[judged]).any():
        return np.zeros(len(right), dtype=bool)
    middle, best = float(np.median(right[judged])), float(np.quantile(right[judged], 0.9))
    chance = 1 / classes if classes else 0.0
    half = (best + chance) / 2
    noise = CHANCE_DEVIATIONS * np.sqrt(half * (1 - half) / targets)
    far = _deviations(right, judged) < -ACCURACY_DEVIATIONS
    gap = min(ACCURACY_GAP, (middle - chance) / 2)
    apart = far & (middle - right > gap) & (gap > 0)
    unskilled = (right < half) & (best - right > ACCURACY_GAP)
    return np.asarray(judged & (apart | unskilled) & (best - right > noise))
