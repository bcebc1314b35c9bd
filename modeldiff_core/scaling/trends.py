"""Whether the best sparsity rises with the size and falls with the budget, in each draw of the bootstrap."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from modeldiff_core.scaling.law import FittedLaw
from modeldiff_core.scaling.optima import Window, lowest, sparsity_curves


@dataclass(frozen=True)
class Trends:
    """Signs of the change of S* on a grid of sizes and budgets, where the fit's optimum lies inside the runs.

    Attributes:
        rises: Share of draws in which S* rises with N at fixed C on average; NaN where nothing could be compared.
        falls: Share of draws in which S* falls with C at fixed N on average.
        inside: Points of the grid whose optimum lies inside, and so is no bound.
        points: Points of the grid.

    """

    rises: float
    falls: float
    inside: int
    points: int


def trends(
    law: FittedLaw, sizes: Float[np.ndarray, " sizes"], budgets: Float[np.ndarray, " budgets"], window: Window
) -> Trends:
    """Return the signs of the changes of s* = −ln(1 − S*) between neighbors of a grid, both inside the runs."""
    n, c = (axis.ravel() for axis in np.meshgrid(sizes, budgets, indexing="ij"))
    places, losses = sparsity_curves(law, n, c, window)
    found = lowest(places, losses)[0].reshape(-1, len(sizes), len(budgets))
    inside = (found[0] > window.sparsity[0]) & (found[0] < window.sparsity[1])

    def share(axis: int, sign: float) -> float:
        count = inside.shape[axis]
        both = np.take(inside, range(count - 1), axis) & np.take(inside, range(1, count), axis)
        if not both.any():
            return float("nan")
        change = np.diff(found[1:], axis=axis + 1)[:, both].mean(1)
        return float((sign * change > 0).mean())

    return Trends(share(0, 1.0), share(1, -1.0), int(inside.sum()), inside.size)
