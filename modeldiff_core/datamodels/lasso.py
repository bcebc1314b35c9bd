"""The lasso for all targets at once, each stopped by its own duality gap.

Every target shares the masks, so one Gram matrix serves them all and an iteration of accelerated proximal gradient
(Beck & Teboulle 2009; restarts of O'Donoghue & Candès 2015) is one product [train, train]·[train, targets] at the
speed of matrix multiplication. Targets that have reached their gap leave the block.
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
    if gap_tolerance <= 0:
        raise ConfigError("regression.gap_tolerance", "more than 0", gap_tolerance)
    x = torch.from_numpy(masks).to(device, torch.float32)
    y = torch.from_numpy(np.asarray(margins, np.float32)).to(device)
    fit, held = validation_split(len(masks), validation_fraction, seed)
    lambdas, best = _choose_lambdas(x[fit], y[fit], x[held], y[held], n_lambdas, lambda_min_ratio)
    everything = moments(x, y)
    weights, gap = solve(everything, lambdas, best, gap_tolerance)
    held_r2 = r_squared(x[held], y[held], best, moments(x[fit], y[fit]).bias(best))
    return Datamodels(
        weights=weights.T.contiguous().cpu().numpy(),
        bias=everything.bias(weights).cpu().numpy(),
        lambdas=lambdas.cpu().numpy(),
        duality_gap=gap.cpu().numpy(),
        validation_r2=held_r2.cpu().numpy(),
    )


def lambda_max(data: Moments) -> Float[Tensor, " targets"]:
    """The smallest penalty for which all weights of a target are zero: max_j |x_jᵀ(y − ȳ)|/m."""
    return data.cross.abs().amax(0)


def _choose_lambdas(
    x: Float[Tensor, "fit train"],
    y: Float[Tensor, "fit targets"],
    x_held: Float[Tensor, "held train"],
    y_held: Float[Tensor, "held targets"],
    n_lambdas: int,
    ratio: float,
) -> tuple[Float[Tensor, " targets"], Float[Tensor, "train targets"]]:
    """The λ of least held-out error for each target, and the weights that had it."""
    data = moments(x, y)
    top = lambda_max(data)
    step = ratio ** (1 / max(1, n_lambdas - 1))
    weights = torch.zeros_like(data.cross)
    best_weights, best_lambda = weights.clone(), top.clone()
    best_error = torch.full_like(top, float("inf"))
    waited = torch.zeros_like(top)
    active = torch.arange(len(top), device=top.device)
    centred = y_held - data.margin_mean
    for k in range(n_lambdas):
        part = _select(data, active)
        solution, _ = solve(part, top[active] * step**k, weights[:, active], PATH_GAP)
        weights[:, active] = solution
        error = (centred[:, active] - (x_held - data.mask_mean) @ solution).square().mean(0)
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


def _select(data: Moments, targets: Tensor) -> Moments:
    return Moments(
        data.gram, data.cross[:, targets], data.power[targets], data.mask_mean, data.margin_mean[targets]
    )


def relative_gap(
    data: Moments,
    lambdas: Float[Tensor, " targets"],
    weights: Float[Tensor, "train targets"],
    product: Float[Tensor, "train targets"],
) -> Float[Tensor, " targets"]:
    """(P − D)/P of each target; `product` is gram·weights.

    With r = y − Xw (centred): P = ‖r‖²/2m + λ‖w‖₁; the dual point is s·r with s = min(1, λ/max_j|x_jᵀr/m|), and
    D = s·⟨r, y⟩/m − s²·‖r‖²/2m. All terms follow from the Gram matrix.
    """
    fitted = (data.cross * weights).sum(0)
    residual = (data.power - 2 * fitted + (weights * product).sum(0)).clamp(min=0)
    primal = residual / 2 + lambdas * weights.abs().sum(0)
    slope = (data.cross - product).abs().amax(0)
    tiny = torch.finfo(slope.dtype).tiny
    s = (lambdas / slope.clamp(min=tiny)).clamp(max=1)
    dual = s * (data.power - fitted) - s.square() * residual / 2
    return ((primal - dual) / primal.clamp(min=tiny)).clamp(min=0)


def solve(
    data: Moments,
    lambdas: Float[Tensor, " targets"],
    start: Float[Tensor, "train targets"],
    tolerance: float,
) -> tuple[Float[Tensor, "train targets"], Float[Tensor, " targets"]]:
    """Weights with a relative gap of at most `tolerance`, and the gap of each target that was reached.

    Accelerated proximal gradient with step 1/L, L the largest eigenvalue of the Gram matrix; the momentum of a
    target restarts when it points uphill. Stops at MAX_ITERATIONS, so the gap must be looked at.
    """
    curvature = float(_largest_eigenvalue(data.gram))
    out, gaps = start.clone(), torch.zeros_like(lambdas)
    active = torch.arange(len(lambdas), device=start.device)
    if curvature <= 0:
        return torch.zeros_like(start), gaps
    part, w = data, start
    product = part.gram @ w
    z, product_z, t = w, product, torch.ones_like(lambdas)
    limit = lambdas
    for iteration in range(MAX_ITERATIONS + 1):
        if iteration % CHECK_EVERY == 0:
            gap = relative_gap(part, limit, w, product)
            done = gap <= tolerance
            if iteration == MAX_ITERATIONS:
                done = torch.ones_like(done)
            if done.any():
                out[:, active[done]], gaps[active[done]] = w[:, done], gap[done]
                keep = ~done
                active, limit, t = active[keep], limit[keep], t[keep]
                if not len(active):
                    break
                part = _select(data, active)
                w, product, z, product_z = w[:, keep], product[:, keep], z[:, keep], product_z[:, keep]
        new = z + (part.cross - product_z) / curvature
        new = torch.sign(new) * (new.abs() - limit / curvature).clamp(min=0)
        new_product = part.gram @ new
        uphill = ((z - new) * (new - w)).sum(0) > 0
        t = torch.where(uphill, 1.0, t)
        t_next = (1 + (1 + 4 * t.square()).sqrt()) / 2
        momentum = torch.where(uphill, 0.0, (t - 1) / t_next)
        z = new + momentum * (new - w)
        product_z = new_product + momentum * (new_product - product)
        w, product, t = new, new_product, t_next
    return out, gaps


def _largest_eigenvalue(gram: Float[Tensor, "train train"]) -> Float[Tensor, ""]:
    """An upper estimate by 50 power iterations from a fixed start, 2 % added."""
    vector = torch.ones(len(gram), dtype=gram.dtype, device=gram.device)
    vector += torch.linspace(-0.5, 0.5, len(gram), dtype=gram.dtype, device=gram.device)
    value = gram.new_zeros(())
    for _ in range(50):
        vector = gram @ vector
        value = vector.norm()
        if value == 0:
            break
        vector = vector / value
    return value * 1.02
