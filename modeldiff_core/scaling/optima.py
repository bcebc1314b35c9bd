"""What a law answers: the best sparsity at a size and a budget, the best size at a sparsity and a budget."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.scaling.intervals import Intervals, intervals
from modeldiff_core.scaling.law import FittedLaw, Points
from modeldiff_core.scaling.runs import Runs

FINE = 321
"""Places at which a law is read for an optimum; the lowest is moved by the parabola through its neighbors."""
BEYOND = 1.5
"""How far beyond the sparsities of the runs, in −ln(1 − S), and the sizes, in ln N, an optimum is looked for, so that
draws on both sides of an edge count for the interval."""


@dataclass(frozen=True)
class Window:
    """Where the runs were: s = −ln(1 − S) and ln N from the least to the largest.

    Attributes:
        sparsity: Least and largest s. size: least and largest ln N.

    """

    sparsity: tuple[float, float]
    size: tuple[float, float]

    @classmethod
    def of(cls, runs: Runs) -> "Window":
        """Return the window of runs."""
        s, n = -np.log1p(-runs.sparsity), np.log(runs.parameters)
        return cls((float(s.min()), float(s.max())), (float(n.min()), float(n.max())))


@dataclass(frozen=True)
class Optima:
    """Best sparsities or sizes with their intervals, and whether they lie on the edge of what was tried.

    Attributes:
        best: In units of S, or of parameters.
        loss: Predicted there, in nats per token.
        edge: −1 where the optimum is at or below the lower edge of the runs, 1 at or above the upper one, else 0:
            a censored optimum is a bound, no estimate.

    """

    best: Intervals
    loss: Intervals
    edge: Float[np.ndarray, " points"]

    @property
    def censored(self) -> Bool[np.ndarray, " points"]:
        """Whether the optimum lies on an edge."""
        return np.asarray(self.edge != 0)


def best_sparsity(
    law: FittedLaw, parameters: Float[np.ndarray, " points"], flops: Float[np.ndarray, " points"], window: Window
) -> Optima:
    """Return S*(N, C) = argmin over S of L(N, C/cost(N, S), S), within the sparsities of the runs.

    The interval is that of the draws on the scale −ln(1 − S), cut at the edges afterwards.
    """
    s, losses = sparsity_curves(law, parameters, flops, window)
    return _optima(s, losses, window.sparsity, lambda found: -np.expm1(-found))


def best_size(
    law: FittedLaw, sparsity: Float[np.ndarray, " points"], flops: Float[np.ndarray, " points"], window: Window
) -> Optima:
    """Return N*(S, C) = argmin over N of L(N, C/cost(N, S), S), within the sizes of the runs."""
    n = _places(window.size)
    size, at = np.exp(n)[None, :], (sparsity[:, None], flops[:, None])
    losses = _along(law, size + 0 * at[0], at[0] + 0 * size, at[1] + 0 * size)
    return _optima(n, losses, window.size, np.exp)


def sparsity_curves(
    law: FittedLaw, parameters: Float[np.ndarray, " points"], flops: Float[np.ndarray, " points"], window: Window
) -> tuple[Float[np.ndarray, " places"], Float[np.ndarray, "laws points places"]]:
    """Return places s = −ln(1 − S), some beyond the runs, and the losses of the fit and its draws there at fixed C."""
    s = _places(window.sparsity)
    sparsity = -np.expm1(-s)[None, :]
    return s, _along(law, parameters[:, None] + 0 * sparsity, sparsity + 0 * parameters[:, None], flops[:, None])


def _along(
    law: FittedLaw,
    parameters: Float[np.ndarray, "points places"],
    sparsity: Float[np.ndarray, "points places"],
    flops: Float[np.ndarray, "points #places"],
) -> Float[np.ndarray, "laws points places"]:
    tokens = flops / law.cost.flops(parameters, sparsity)
    granularity = np.ones(parameters.size) if law.form.granular else None
    points = Points(parameters.ravel(), tokens.ravel(), sparsity.ravel(), granularity)
    return law.losses(points).reshape(len(law.all), *parameters.shape)


def _places(within: tuple[float, float]) -> Float[np.ndarray, " places"]:
    return np.linspace(within[0] - BEYOND, within[1] + BEYOND, FINE)


def lowest(
    places: Float[np.ndarray, " places"], losses: Float[np.ndarray, "*laws places"]
) -> tuple[Float[np.ndarray, "*laws"], Float[np.ndarray, "*laws"]]:
    """Return where evenly spaced curves are lowest and how low, by the parabola through three places."""
    at = np.clip(losses.argmin(-1), 1, len(places) - 2)
    before, here, after = (np.take_along_axis(losses, (at + k)[..., None], -1)[..., 0] for k in (-1, 0, 1))
    bend = before - 2 * here + after
    move = np.divide(before - after, 2 * bend, out=np.sign(before - after), where=bend > 0)
    move = np.clip(move, -1.0, 1.0)
    return places[at] + move * (places[1] - places[0]), here + (after - before) / 2 * move + bend / 2 * move**2


def _optima(
    places: Float[np.ndarray, " places"],
    losses: Float[np.ndarray, "laws points places"],
    within: tuple[float, float],
    scale: Callable[[np.ndarray], np.ndarray],
) -> Optima:
    """Return the optima of curves. scale: from places to the units of the answer."""
    found, _ = lowest(places, losses)
    edge = np.where(found[0] <= within[0], -1.0, np.where(found[0] >= within[1], 1.0, 0.0))
    cut = intervals(found)
    best = [np.clip(values, *within) for values in (cut.value, cut.low, cut.high)]
    inside = np.abs(places[None, :] - best[0][:, None]).argmin(1)
    at_best = np.take_along_axis(losses, inside[None, :, None], 2)[:, :, 0]
    return Optima(Intervals(*(scale(values) for values in best)), intervals(at_best), edge)
