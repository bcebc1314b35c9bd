"""Rounds of training, and when another one is no longer worth it."""

import math
from collections.abc import Sequence

from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.law import LEAST_POINTS, LearningCurve, fit_law


def prefixes(budget: int, held: int, growth: float, shard_size: int) -> tuple[int, ...]:
    """Numbers of models, whole shards each, that grow by `growth` from 2·held (at least held + 20) to the budget.

    The first `held` of them are kept for evaluation. All but the last are the same whatever the budget.
    Raises ConfigError for a growth that is not above 1.
    """
    if not growth > 1:
        raise ConfigError("subsets.rounds.growth", "a number above 1", growth)
    sizes: list[int] = []
    wanted = float(held + max(held, 20))
    while not sizes or sizes[-1] < budget:
        size = min(budget, -(-int(wanted) // shard_size) * shard_size)
        if not sizes or size > sizes[-1]:
            sizes.append(size)
        wanted *= growth
    return tuple(sizes)


def gain(curve: LearningCurve, growth: float) -> float:
    """What a round that multiplies the fitted models by `growth` gains at the end of the curve, in mean score.

    law(m·√growth) − law(m/√growth), by the law fitted to the curve: its slope, not the noise of its last two points,
    and taken around the end, so that rounds stop at the size nearest to the threshold and not always beyond it.
    """
    law, last, half = fit_law(curve), float(curve.models[-1]), math.sqrt(growth)
    return law.score(last * half) - law.score(last / half)


def enough(curves: Sequence[LearningCurve], growth: float, least_gain: float) -> bool:
    """Whether another round is not worth it to any of the algorithms: every gain is below `least_gain`.

    Never before the law can be fitted to every curve.
    """
    return all(len(c.models) >= LEAST_POINTS and gain(c, growth) < least_gain for c in curves)
