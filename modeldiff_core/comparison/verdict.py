"""Different, equivalent or undecided: what a comparison as a whole shows of a margin that its user sets.

The margin is a share of a datamodel's squared length (comparison.effect_sizes): all that differs, relative to
what there is. Three answers, each at level α:

- equivalent: the upper end of the total's one-sided interval lies below the margin;
- different: a direction is significant, and the lower end of the total's interval, or of what the significant
  directions hold together, lies above the margin (α/2 each, for either may say so);
- undecided otherwise. Without a margin (0) nothing can be shown to be equivalent, and a significant direction
  is enough.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import norm

from modeldiff_core.comparison.effect_sizes import EffectSizes, Estimate

Answer = Literal["different", "equivalent", "undecided"]
POWER = 0.8
"""Share of repetitions in which the number of models that is reported decides."""
MOST = 100
"""Times the models there are beyond which no number is reported."""


@dataclass(frozen=True)
class Verdict:
    """What a comparison shows.

    Attributes:
        answer: One of three words.
        margin: The user's; 0 where none was set.
        total: All that differs, with the interval whose ends decide.
        models: Models of each algorithm that decide in POWER of repetitions, if effects are what they seem;
            None where it is decided, or where the effect is too near the margin to tell.
    """

    answer: Answer
    margin: float
    total: Estimate
    models: int | None


def verdict(sizes: EffectSizes, significant: list[int], models: int, margin: float, level: float = 0.05) -> Verdict:
    """Return the verdict on a comparison.

    Args:
        sizes: Of its directions.
        significant: Directions that are.
        models: That were fitted, of each algorithm.
        margin: Share of a datamodel's squared length, 0 for none.
        level: α.
    """
    total = sizes.all_that_differs(1 - 2 * level)
    if margin <= 0:
        answer: Answer = "different" if significant else "undecided"
        return Verdict(answer, 0.0, total, None)
    if total.high < margin:
        return Verdict("equivalent", margin, total, None)
    lows = [sizes.all_that_differs(1 - level).low]
    if significant:
        lows.append(sizes.explained(significant, 1 - level).low)
    if significant and max(lows) > margin:
        return Verdict("different", margin, total, None)
    return Verdict("undecided", margin, total, _deciding(sizes, models, margin, level))


def _deciding(sizes: EffectSizes, models: int, margin: float, level: float) -> int | None:
    """Return m·((z_α + z_power)·σ/|D − margin|)², for a standard error σ that falls as 1/√m.

    The smaller part of it falls faster, so the number is rather too large. None beyond MOST times the models.
    """
    reach = float(norm.ppf(1 - level / 2) + norm.ppf(POWER)) * math.sqrt(sizes.variance(sizes.of_total))
    away = abs(sizes.total - margin)
    if away <= 0 or reach / away > MOST**0.5:
        return None
    return math.ceil(models * max(1.0, reach / away) ** 2)


def models_needed(difference: Estimate, null: np.ndarray, models: int, level: float) -> tuple[int, int | None] | None:
    """Return the models with which a direction would be significant, an interval from the effect's; None if unknown.

    The critical value is the (1 − α) quantile of the null's largest eigenvalues, in the units of the
    difference; products of noise fall as 1/m. A difference d is found in POWER of repetitions where d −
    z_power·σ(m) ≥ critical(m), and with both of them taken to fall as slowly as 1/√m the models needed are
    m·((critical + z_power·σ)/d)², for the ends of the interval of d.

    Args:
        difference: Measured on models that did not choose the direction, with its 95 % interval.
        null: Draws of the largest eigenvalue.
        models: That there are.
        level: α.
    """
    if difference.low <= 0 or not len(null):
        return None
    sigma = (difference.high - difference.low) / (2 * float(norm.ppf(0.975)))
    reach = float(np.quantile(null, 1 - level)) + float(norm.ppf(POWER)) * sigma
    fewest, most = (math.ceil(models * max(1.0, reach / d) ** 2) for d in (difference.high, difference.low))
    return fewest, most if most <= MOST * models else None
