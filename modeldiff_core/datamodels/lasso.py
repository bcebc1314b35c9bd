"""The lasso for all targets at once, each stopped by its own duality gap.

Every target shares the masks, so one Gram matrix serves them all and an iteration of accelerated proximal gradient
(Beck & Teboulle 2009; restarts of O'Donoghue & Candès 2015) is one product [train, train]·[train, targets] at the
speed of matrix multiplication. Targets that have reached their gap leave the block.

For gaps below SINGLE_GAP only that product is in float32, and it is taken of the step, not of the weights, so that its
rounding shrinks as the iteration converges; everything else is in float64. With all of it in float32 relative gaps
stall at 10⁻⁶ to 10⁻⁴, and the reported one can be ten times too small.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from modeldiff_core.datamodels.moments import (
    Moments,
    check_regression_input,
    moments,
    r_squared,
    validation_split,
)
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.errors import ConfigError

CHECK_EVERY = 10
MAX_ITERATIONS = 5000
PATH_GAP = 1e-2
"""Relative gap on the way down the path, where only the order of validation errors matters."""
SINGLE_GAP = 1e-3
"""Relative gaps of this size or more are reached in float32 throughout."""
PATIENCE = 3
"""A target leaves the path after this many λ in a row without a smaller validation error."""


def fit_lasso(
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "rows targets"],
    *,
    n_lambdas: int = 20,
    lambda_min_ratio: float = 0.01,
    validation_fraction: float = 0.1,
    gap_tolerance: float = 1e-4,
    device: str = "cpu",
    seed: int = 0,
) -> Datamodels:
    """Sparse datamodels: for each target argmin over (w, b) of (1/2m)·‖y − b − Xw‖² + λ‖w‖₁ (Datamodels, eq. 3).

    λ runs down a geometric path from λ_max, the smallest that gives w = 0, to lambda_min_ratio·λ_max; each target
    takes the one with the least error on a random validation_fraction of the models, then is fitted on all of them
    until (P − D)/P ≤ gap_tolerance. X is the raw 0/1 mask matrix and b is not penalised, as in scikit-learn.

    Raises ConfigError for lengths that differ, margins that are not finite, masks without any example.
    """
    check_regression_input(masks, margins)
    if n_lambdas < 1:
        raise ConfigError("regression.n_lambdas", "1 or more", n_lambdas)
    if not 0 < lambda_min_ratio < 1:
        raise ConfigError("regression.lambda_min_ratio", "a number in (0, 1)", lambda_min_ratio)
    if not gap_tolerance > 0:
        raise ConfigError("regression.gap_tolerance", "more than 0", gap_tolerance)
    x = torch.from_numpy(masks).to(device, torch.float32)
    y = torch.from_numpy(np.asarray(margins, np.float32)).to(device)
    fit, held = validation_split(len(masks), validation_fraction, seed)
    part, everything = moments(x[fit], y[fit]), moments(x, y)
    lambdas, best = _choose_lambdas(part, x[held], y[held], n_lambdas, lambda_min_ratio)
    # A margin that varies on no fitted model has no path to choose from: it gets the penalty of no weights.
    lambdas = torch.where(lambdas > 0, lambdas, lambda_max(everything))
    weights, gap = solve(everything, lambdas, best, gap_tolerance)
    held_r2 = r_squared(x[held], y[held], best, part.bias(best))
    return Datamodels(
        weights=weights.T.float().contiguous().cpu().numpy(),
        bias=everything.bias(weights).float().cpu().numpy(),
        lambdas=lambdas.float().cpu().numpy(),
        duality_gap=gap.float().cpu().numpy(),
        validation_r2=held_r2.cpu().numpy(),
    )


def lambda_max(data: Moments) -> Float[Tensor, " targets"]:
    """The smallest penalty for which all weights of a target are zero: max_j |x_jᵀ(y − ȳ)|/m."""
    return data.cross.abs().amax(0)


def _choose_lambdas(
    data: Moments,
    x_held: Float[Tensor, "held train"],
    y_held: Float[Tensor, "held targets"],
    n_lambdas: int,
    ratio: float,
) -> tuple[Float[Tensor, " targets"], Float[Tensor, "train targets"]]:
    """The λ of least held-out error for each target, and the weights that had it."""
    top = lambda_max(data)
    step = ratio ** (1 / max(1, n_lambdas - 1))
    weights = torch.zeros_like(data.cross)
    best_weights, best_lambda = weights.clone(), top.clone()
    best_error = torch.full_like(top, float("inf"))
    waited = torch.zeros_like(top)
    active = torch.arange(len(top), device=top.device)
    for k in range(n_lambdas):
        part = data.select(active)
        solution, _ = solve(part, top[active] * step**k, weights[:, active], PATH_GAP)
        weights[:, active] = solution
        predicted = x_held @ solution.float() + part.bias(solution).float()
        error = (y_held[:, active] - predicted).square().mean(0).double()
        better = error < best_error[active]
        improved = active[better]
        best_error[improved] = error[better]
        best_lambda[improved] = top[improved] * step**k
        best_weights[:, improved] = solution[:, better]
        waited[active] = torch.where(better, 0.0, waited[active] + 1)
        active = active[waited[active] < PATIENCE]
        if not len(active):
            break
    return best_lambda, best_weights


def relative_gap(
    data: Moments,
    lambdas: Float[Tensor, " targets"],
    weights: Float[Tensor, "train targets"],
    pull: Float[Tensor, "train targets"],
) -> Float[Tensor, " targets"]:
    """(P − D)/P of each target; `pull` is x_jᵀr/m of the residual r = y − Xw (centred), that is cross − gram·weights.

    P = ‖r‖²/2m + λ‖w‖₁; the dual point is s·r with s = min(1, λ/max_j|x_jᵀr/m|), and
    D = s·⟨r, y⟩/m − s²·‖r‖²/2m. All terms follow from the moments.
    """
    towards = data.power - (data.cross * weights).sum(0)
    residual = (towards - (pull * weights).sum(0)).clamp(min=0)
    primal = residual / 2 + lambdas * weights.abs().sum(0)
    tiny = torch.finfo(primal.dtype).tiny
    s = (lambdas / pull.abs().amax(0).clamp(min=tiny)).clamp(max=1)
    dual = s * towards - s.square() * residual / 2
    return ((primal - dual) / primal.clamp(min=tiny)).clamp(min=0)


def solve(
    data: Moments,
    lambdas: Float[Tensor, " targets"],
    start: Float[Tensor, "train targets"],
    tolerance: float,
) -> tuple[Float[Tensor, "train targets"], Float[Tensor, " targets"]]:
    """Weights (in the precision of `start`) with a relative gap of at most `tolerance`, and the gap of each target.

    Accelerated proximal gradient with step 1/L, L the largest eigenvalue of the Gram matrix; the momentum of a
    target restarts when it points uphill. A target leaves when its gap holds with a product of the weights themselves.
    Stops at MAX_ITERATIONS, so the gap must be looked at.
    """
    curvature = _largest_eigenvalue(data)
    out, gaps = torch.zeros_like(start), torch.zeros_like(data.power)
    if curvature <= 0:
        return out, gaps
    data = data.to(torch.float32 if tolerance >= SINGLE_GAP else torch.float64)
    precision = data.cross.dtype
    active = torch.arange(len(lambdas), device=start.device)
    part, limit, w = data, lambdas.to(precision), start.to(precision)
    pull = part.cross - part.product(w)
    z, pull_z, t = w.clone(), pull.clone(), torch.ones_like(limit)
    for iteration in range(MAX_ITERATIONS + 1):
        if iteration % CHECK_EVERY == 0:
            last = iteration == MAX_ITERATIONS
            near = ((relative_gap(part, limit, w, pull) <= tolerance) | last).nonzero()[:, 0]
            if len(near):
                exact = part.cross[:, near] - part.product(w[:, near])
                gap = relative_gap(part.select(near), limit[near], w[:, near], exact)
                pull_z[:, near] += exact - pull[:, near]
                pull[:, near] = exact
                done = (gap <= tolerance) | last
                leaving = near[done]
                out[:, active[leaving]] = w[:, leaving].to(out.dtype)
                gaps[active[leaving]] = gap[done].double()
                keep = torch.ones_like(active, dtype=torch.bool)
                keep[leaving] = False
                active, limit, t = active[keep], limit[keep], t[keep]
                if not len(active):
                    break
                part = data.select(active)
                w, pull, z, pull_z = w[:, keep], pull[:, keep], z[:, keep], pull_z[:, keep]
        new = torch.add(z, pull_z, alpha=1 / curvature)
        new -= new.clamp(-limit / curvature, limit / curvature)
        move = new - w
        lost = part.product(move.float()).to(precision)
        uphill = z.sub_(new).mul_(move).sum(0) > 0
        t = torch.where(uphill, 1.0, t)
        t_next = (1 + (1 + 4 * t.square()).sqrt()) / 2
        momentum = torch.where(uphill, 0.0, (t - 1) / t_next)
        w, pull, t = new, pull - lost, t_next
        z = torch.addcmul(w, momentum, move)
        pull_z = torch.addcmul(pull, momentum, lost, value=-1)
    return out, gaps


def _largest_eigenvalue(data: Moments) -> float:
    """An upper estimate by 50 power iterations from a fixed start, 2 % added."""
    vector = torch.linspace(0.5, 1.5, len(data.counts), device=data.counts.device)[:, None]
    value = 0.0
    for _ in range(50):
        vector = data.product(vector)
        value = float(vector.norm())
        if value == 0:
            break
        vector = vector / value
    return value * 1.02
