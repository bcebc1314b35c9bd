"""Rounds of training: their sizes, and the rule that ends them."""

import math
from collections.abc import Sequence

from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.law import LEAST_POINTS, LearningCurve, fit_law


def round_sizes(budget: int, n_held_out: int, growth: float, shard_size: int) -> tuple[int, ...]:
    """Return the number of models after each round, in whole shards.

    The numbers grow by `growth` from 2·n_held_out (at least n_held_out + 20) to the budget. All but the last do not
    depend on the budget.

    Args:
        budget: Largest number of models.
        n_held_out: Models, among the first, that are reserved for evaluation.
        growth: Factor between rounds.
        shard_size: Models in a shard.

    Raises:
        ConfigError: If `growth` is not above 1.
    """
    if not growth > 1:
        raise ConfigError("subsets.rounds.growth", "a number above 1", growth)
    sizes: list[int] = []
    wanted = float(n_held_out + max(n_held_out, 20))
    while not sizes or sizes[-1] < budget:
        size = min(budget, -(-int(wanted) // shard_size) * shard_size)
        if not sizes or size > sizes[-1]:
            sizes.append(size)
        wanted *= growth
    return tuple(sizes)


def expected_gain(curve: LearningCurve, growth: float) -> float:
    """Return the gain in mean score of a round that multiplies the fitted models by `growth`, at the curve's end.

    The gain is law(m·√growth) − law(m/√growth) by the law fitted to the curve: it follows the curve's slope instead of
    the noise of its last two points, and is centered on the end, so that rounds stop at the size nearest to the
    threshold and not always beyond it.
    """
    law, last, half = fit_law(curve), float(curve.models[-1]), math.sqrt(growth)
    return law.score(last * half) - law.score(last / half)


def has_saturated(curves: Sequence[LearningCurve], growth: float, least_gain: float) -> bool:
    """Return whether the expected gain of another round is below `least_gain` for every curve.

    False as long as some curve has too few points for the law.
    """
    return all(len(c.models) >= LEAST_POINTS and expected_gain(c, growth) < least_gain for c in curves)
