"""The lasso of many targets on one design, each stopped by its own relative duality gap.

Every target shares the masks, so an iteration of accelerated proximal gradient (Beck & Teboulle 2009; restarts of
O'Donoghue & Candès 2015) is one product [targets, train]·[train, train] at the speed of matrix multiplication. That
product is rough (bfloat16 where the device has it), but it is taken of the step, not of the weights. Every few steps,
and before a target leaves, its slopes are computed again from its weights, so that rounding may delay the end but never
decides it. What happens to a target depends on itself alone.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modeldiff_core.datamodels.design import Design, row_sums

CHECK_EVERY = 2
"""Iterations after which targets that have reached their gap are looked for."""
REFRESH_EVERY = 16
"""Iterations after which slopes are computed again, so that the rounding of steps does not add up."""
MAX_ITERATIONS = 20000
"""A multiple of both, so that the last gap is a fresh one."""
SINGLE_GAP = 1e-3
"""Relative gaps of this size or more are reached, and believed, in float32; smaller ones in float64."""
CHUNK = {"cpu": 256, "cuda": 4096}
"""Targets that are worked on together: as many as the processor's cache holds."""


@dataclass(frozen=True)
class Problem:
    """The lasso of some targets: cross = (Y − ȳ)ᵀX/m, power = mean (y − ȳ)², and the penalty λ."""

    cross: Float[Tensor, "targets train"]
    power: Float[Tensor, " targets"]
    lambdas: Float[Tensor, " targets"]

    def select(self, targets: Int[Tensor, " chosen"] | Bool[Tensor, " targets"]) -> "Problem":
        """Some of the targets."""
        return Problem(self.cross[targets], self.power[targets], self.lambdas[targets])

    def to(self, precision: torch.dtype) -> "Problem":
        """Return the same problem in another precision."""
        return Problem(self.cross.to(precision), self.power.to(precision), self.lambdas.to(precision))

    def slopes(self, design: Design, weights: Float[Tensor, "targets train"]) -> Float[Tensor, "targets train"]:
        """x_jᵀr/m of the centered residual r = y − Xw, in the precision of the problem."""
        return self.cross - design.product(weights.to(self.cross.dtype))

    def relative_gap(
        self, weights: Float[Tensor, "targets train"], slopes: Float[Tensor, "targets train"]
    ) -> Float[Tensor, " targets"]:
        """(P − D)/P of each target.

        P = ‖r‖²/2m + λ‖w‖₁; the dual point is s·r with s = min(1, λ/max_j|x_jᵀr/m|), and
        D = s·⟨r, y⟩/m − s²·‖r‖²/2m. All terms follow from the moments.
        """
        toward = self.power - row_sums(self.cross * weights)
        residual = (toward - row_sums(slopes * weights)).clamp(min=0)
        primal = residual / 2 + self.lambdas * row_sums(weights.abs())
        tiny = torch.finfo(primal.dtype).tiny
        s = (self.lambdas / slopes.abs().amax(1).clamp(min=tiny)).clamp(max=1)
        dual = s * toward - s.square() * residual / 2
        return ((primal - dual) / primal.clamp(min=tiny)).clamp(min=0)


@dataclass(frozen=True)
class Solution:
    """Weights, their relative gaps, and the slopes of the residual at them."""

    weights: Float[Tensor, "targets train"]
    gaps: Float[Tensor, " targets"]
    slopes: Float[Tensor, "targets train"]


def solve_rows(
    design: Design,
    problem: Problem,
    start: Float[Tensor, "targets train"],
    tolerance: float,
    *,
    slopes: Float[Tensor, "targets train"] | None = None,
    precise: bool = False,
    trusting: bool = False,
) -> Solution:
    """Weights with a relative gap of at most `tolerance` for each target.

    All but the products of steps is in float64 for tolerances below SINGLE_GAP, in float32 from there on; `precise`
    takes everything in float64. Stops at MAX_ITERATIONS, so the gap must be looked at. slopes: those at the start, if
    they are known. trusting: believe the slopes that have been carried along, when a target seems to be done.
    """
    precision = torch.float64 if precise or tolerance < SINGLE_GAP else torch.float32
    size = CHUNK.get(start.device.type, CHUNK["cpu"])
    parts = []
    for rows in torch.arange(len(start), device=start.device).split(size):
        part, first = problem.select(rows).to(precision), start[rows].to(precision)
        if design.curvature > 0:
            known = part.to(torch.float32).slopes(design, first) if slopes is None else slopes[rows]
            parts.append(_solve_chunk(design, part, first, known.to(precision), tolerance, precise, trusting))
        else:
            zero = torch.zeros_like(first)
            parts.append(Solution(zero, torch.zeros_like(part.power), zero))
    return Solution(
        *(torch.cat(pieces) for pieces in zip(*((p.weights, p.gaps, p.slopes) for p in parts), strict=True))
    )


def _solve_chunk(
    design: Design,
    problem: Problem,
    w: Float[Tensor, "targets train"],
    slope: Float[Tensor, "targets train"],
    tolerance: float,
    precise: bool,
    trusting: bool,
) -> Solution:
    step_product = design.product if precise else design.rough_product
    out, gaps, slopes = torch.zeros_like(w), torch.zeros_like(problem.power), torch.zeros_like(w)
    active = torch.arange(len(w), device=w.device)
    z, slope_z, t = w.clone(), slope.clone(), torch.ones_like(problem.power)
    for iteration in range(MAX_ITERATIONS + 1):
        if iteration % CHECK_EVERY == 0:
            gap = problem.relative_gap(w, slope)
            look = gap <= tolerance
            fresh = iteration > 0 and iteration % REFRESH_EVERY == 0
            if fresh or (not trusting and bool(look.any())):
                look |= fresh
                part = problem.select(look)
                anew = part.slopes(design, w[look])
                gap[look] = part.relative_gap(w[look], anew)
                slope_z[look] += anew - slope[look]
                slope[look] = anew
            done = (gap <= tolerance) | (iteration == MAX_ITERATIONS)
            if done.any():
                leaving = active[done]
                out[leaving], gaps[leaving], slopes[leaving] = w[done], gap[done], slope[done]
                active, t = active[~done], t[~done]
                if not len(active):
                    break
                problem = problem.select(~done)
                w, slope, z, slope_z = w[~done], slope[~done], z[~done], slope_z[~done]
        threshold = (problem.lambdas / design.curvature)[:, None]
        new = torch.add(z, slope_z, alpha=1 / design.curvature)
        new -= new.clamp(-threshold, threshold)
        move = new - w
        lost = step_product(move)
        uphill = row_sums(z.sub_(new).mul_(move)) > 0
        t = torch.where(uphill, 1.0, t)
        t_next = (1 + (1 + 4 * t.square()).sqrt()) / 2
        momentum = torch.where(uphill, 0.0, (t - 1) / t_next)[:, None]
        w, slope, t = new, slope - lost, t_next
        z = torch.addcmul(w, momentum, move)
        slope_z = torch.addcmul(slope, momentum, lost, value=-1)
    return Solution(out, gaps, slopes)
