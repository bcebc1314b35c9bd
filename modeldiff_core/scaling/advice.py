"""What to run next: cells that make an answer's interval narrower at the least cost in FLOPs.

An answer (a best sparsity, or a loss at a budget) has the variance noise²·gᵀ·H⁻¹·g: g is its derivative with respect to
the law's parameters, H = Σ J·Jᵀ over the runs, J the derivative of ln L. A new run adds its own J·Jᵀ. Cells are taken
one after the other, each time the one that lowers the variance most per FLOP, on average over draws of the bootstrap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from modeldiff_core.errors import ConfigError
from modeldiff_core.scaling.budgets import budgets_of
from modeldiff_core.scaling.cost import Cost
from modeldiff_core.scaling.held_out import levels_of
from modeldiff_core.scaling.law import FittedLaw, Points
from modeldiff_core.scaling.optima import Window, lowest, sparsity_curves
from modeldiff_core.scaling.runs import Runs

NORMAL = 1.96
DRAWS = 12
"""Draws of the bootstrap, beside the fit, over which a cell's worth is averaged."""
NUDGE = 0.02
"""Step of finite differences in −ln(1 − S)."""
RIDGE = 1e-9
"""Of the curvature, so that parameters that nothing determines do not end in infinities."""


@dataclass(frozen=True)
class Target:
    """An answer that is wanted: S*(N, C), or with a sparsity the loss L(N, S, C).

    Attributes:
        parameters: N. flops: C. sparsity: S; None for the best one.

    """

    parameters: float
    flops: float
    sparsity: float | None = None

    def words(self) -> str:
        """Return it as words."""
        at = f"N = {self.parameters:.3g}, C = {self.flops:.3g}"
        return f"S* at {at}" if self.sparsity is None else f"loss at {at}, S = {self.sparsity:.3g}"


@dataclass(frozen=True)
class Cells:
    """Models that could be trained next, a budget each.

    Attributes:
        parameters: N. sparsity: S. flops: C.

    """

    parameters: Float[np.ndarray, " cells"]
    sparsity: Float[np.ndarray, " cells"]
    flops: Float[np.ndarray, " cells"]

    @classmethod
    def grid(cls, runs: Runs) -> "Cells":
        """Return every budget and sparsity of runs at their smallest to largest sizes, as many as they have."""
        budgets, _ = budgets_of(runs)
        low, high = Window.of(runs).size
        count = len(np.unique(np.round(np.log(runs.parameters), 2)))
        axes = np.meshgrid(np.exp(np.linspace(low, high, count)), levels_of(runs), budgets, indexing="ij")
        return cls(*(axis.ravel() for axis in axes))

    def points(self, cost: Cost) -> Points:
        """Return the cells with the tokens that their budgets buy."""
        tokens = self.flops / cost.flops(self.parameters, self.sparsity)
        return Points(self.parameters, tokens, self.sparsity)


@dataclass(frozen=True)
class Advice:
    """Cells in the order in which they are worth most, and what they buy.

    Attributes:
        cells: What could be trained.
        chosen: Numbers of the cells, in order; one may come again with other seeds.
        runs: How many runs of it each step adds.
        flops: FLOPs of all runs up to each step.
        widths: Predicted width of each target's 95 % interval, before the first and after each.
        grid_flops: FLOPs of the runs there are: once more all of them halves the variance.

    """

    cells: Cells
    chosen: Int[np.ndarray, " steps"]
    runs: int
    flops: Float[np.ndarray, " steps"]
    widths: Float[np.ndarray, "steps1 targets"]
    grid_flops: float

    def share(self) -> Float[np.ndarray, " steps1"]:
        """Return the root mean square over targets of the width relative to the width before."""
        return np.asarray(np.sqrt(np.square(self.widths / self.widths[0]).mean(1)))

    def cost(self, share: float) -> tuple[float, float]:
        """Return the FLOPs that bring the widths to a share of what they are: advised, and by the grid run again.

        Infinite where the steps do not reach it.
        """
        reached = np.flatnonzero(self.share() <= share)
        advised = np.inf if not len(reached) else 0.0 if not reached[0] else float(self.flops[reached[0] - 1])
        return advised, self.grid_flops * max(1 / share**2 - 1, 0.0)

    def counts(self, steps: int) -> list[tuple[int, int]]:
        """Return the cells of the first steps and how many runs of each, those with the most FLOPs first."""
        cells, counts = np.unique(self.chosen[:steps], return_counts=True)
        counts = counts * self.runs
        order = np.argsort(-self.cells.flops[cells] * counts, kind="stable")
        return [(int(cells[at]), int(counts[at])) for at in order]


def advise(
    law: FittedLaw, runs: Runs, targets: Sequence[Target], cells: Cells, share: float = 0.5, steps: int = 300
) -> Advice:
    """Choose cells until the widths are a share of what they are, or for so many steps.

    Each step adds a fiftieth as many runs as there are, at least one, so that any share down to a fifth is in reach.

    Raises:
        ConfigError: For no target, or a law of granularity, whose cells would need it.

    """
    if not targets:
        raise ConfigError("targets", "at least one answer that is wanted", 0)
    if law.form.granular:
        raise ConfigError("laws", "a law without granularity for advice", law.form.name)
    laws, batch = law.all[: DRAWS + 1], max(1, len(runs) // 50)
    inverse = np.linalg.inv(_curvature(law, laws, runs))
    wanted = np.stack([_gradient(law, laws, target, Window.of(runs)) for target in targets], 1)
    added = _log_slopes(law, laws, cells.points(law.cost))
    variances, chosen, before = [_variance(inverse, wanted)], list[int](), _variance(inverse, wanted)
    for _ in range(steps):
        moved = np.einsum("dpq,dcq->dcp", inverse, added)
        leverage = 1 / batch + np.einsum("dcp,dcp->dc", moved, added)
        gain = np.einsum("dtp,dcp->dtc", wanted, moved) ** 2 / leverage[:, None, :]
        worth = (gain / before[:, :, None]).mean((0, 1)) / (batch * cells.flops)
        best = int(np.argmax(worth))
        inverse = inverse - moved[:, best, :, None] * moved[:, best, None, :] / leverage[:, best, None, None]
        chosen.append(best)
        variances.append(_variance(inverse, wanted))
        if np.sqrt((variances[-1] / before).mean()) <= 0.98 * share:
            break
    widths = 2 * NORMAL * law.noise * np.sqrt(np.median(np.stack(variances), axis=1))
    numbers = np.array(chosen, np.int64)
    return Advice(cells, numbers, batch, batch * np.cumsum(cells.flops[numbers]), widths, float(runs.flops.sum()))


def _log_slopes(
    law: FittedLaw, laws: Float[np.ndarray, "laws parameters"], points: Points
) -> Float[np.ndarray, "laws points parameters"]:
    losses, slopes = law.form.slopes(laws, law.design(points))
    return np.asarray(slopes / losses[:, :, None])


def _curvature(
    law: FittedLaw, laws: Float[np.ndarray, "laws parameters"], runs: Runs
) -> Float[np.ndarray, "laws parameters parameters"]:
    slopes = _log_slopes(law, laws, Points.of(runs))
    found = slopes.transpose(0, 2, 1) @ slopes
    diagonal = np.diagonal(found, axis1=1, axis2=2)
    return np.asarray(found + RIDGE * diagonal[:, :, None] * np.eye(found.shape[1]))


def _gradient(
    law: FittedLaw, laws: Float[np.ndarray, "laws parameters"], target: Target, window: Window
) -> Float[np.ndarray, "laws parameters"]:
    """Return the derivative of an answer with respect to the parameters of each law.

    Of S* it is that of s* = −ln(1 − S*): −(∂²L/∂s∂θ)/(∂²L/∂s²), times 1 − S*.
    """
    size, flops = np.array([target.parameters]), np.array([target.flops])
    if target.sparsity is not None:
        points = Cells(size, np.array([target.sparsity]), flops).points(law.cost)
        return law.form.slopes(laws, law.design(points))[1][:, 0]
    places, losses = sparsity_curves(law, size, flops, window)
    best, _ = lowest(places, losses[: len(laws), 0])
    found = []
    for parameters, s in zip(laws, best, strict=True):
        near = s + NUDGE * np.array([-1.0, 0.0, 1.0])
        points = Cells(np.repeat(size, 3), -np.expm1(-near), np.repeat(flops, 3)).points(law.cost)
        loss, slopes = (values[0] for values in law.form.slopes(parameters[None], law.design(points)))
        bend = max(float(loss[0] - 2 * loss[1] + loss[2]) / NUDGE**2, 1e-4)
        found.append(-(slopes[2] - slopes[0]) / (2 * NUDGE) / bend * np.exp(-s))
    return np.stack(found)


def _variance(
    inverse: Float[np.ndarray, "laws parameters parameters"], wanted: Float[np.ndarray, "laws targets parameters"]
) -> Float[np.ndarray, "laws targets"]:
    return np.asarray(np.maximum(np.einsum("dtp,dpq,dtq->dt", wanted, inverse, wanted), 1e-30))
