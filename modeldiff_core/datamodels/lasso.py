"""The lasso for all targets at once: λ for each by models held out, then weights with a certificate."""

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from modeldiff_core.datamodels.design import Design, GramDesign, PackedDesign
from modeldiff_core.datamodels.folds import held_out
from modeldiff_core.datamodels.gram import check_gram, counts_of, on_device
from modeldiff_core.datamodels.moments import Moments, TargetMoments, check_regression_input
from modeldiff_core.datamodels.path import HeldOut, walk
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.datamodels.solver import CHUNK, Problem, solve_rows
from modeldiff_core.datamodels.whole import Scale, sums
from modeldiff_core.errors import ConfigError


def fit_lasso(
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "rows targets"],
    *,
    n_lambdas: int = 20,
    lambda_min_ratio: float = 0.01,
    validation_fraction: float = 0.1,
    folds: int = 0,
    gap_tolerance: float = 1e-4,
    memory_budget_mb: int | float = 16384,
    precise: bool = False,
    gram: Float[np.ndarray, "left right"] | Float[Tensor, "left right"] | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> Datamodels:
    """Sparse datamodels: for each target argmin over (w, b) of (1/2m)·‖y − b − Xw‖² + λ‖w‖₁ (Datamodels, eq. 3).

    λ runs down a geometric path from λ_max, the smallest that gives w = 0, to lambda_min_ratio·λ_max; each target
    takes the one with the least squared error on models that were held out: a random validation_fraction of them, or
    with folds K ≥ 2 each of K parts in turn. Then it is fitted on all models until (P − D)/P ≤ gap_tolerance. X is the
    raw 0/1 mask matrix and b is not penalised, as in scikit-learn.

    memory_budget_mb: without room for XᵀX [train, train] its products are taken from the masks' bits. precise:
    everything in float64, to check the usual mix of precisions. gram: XᵀX of all these models, as `co_occurrence`
    gives it, if it is at hand; the result is the same, to the bit.

    Raises ConfigError for lengths that differ, margins that are not finite, masks without any example, more folds than
    models, a path that does not go down from λ_max, and a gram of other masks.
    """
    check_regression_input(masks, margins)
    if n_lambdas < 1:
        raise ConfigError("regression.n_lambdas", "1 or more", n_lambdas)
    if not 0 < lambda_min_ratio < 1:
        raise ConfigError(
            "regression.lambda_min_ratio", "a number in (0, 1)", lambda_min_ratio, "The path goes down from λ_max."
        )
    if not gap_tolerance > 0:
        raise ConfigError("regression.gap_tolerance", "more than 0", gap_tolerance)
    if not memory_budget_mb > 0:
        raise ConfigError("regression.memory_budget_mb", "more than 0", memory_budget_mb)
    parts = held_out(len(masks), folds, validation_fraction, seed)
    x = on_device(masks, device)
    design = _design(x, gram, memory_budget_mb)
    steps = lambda_min_ratio ** (torch.arange(n_lambdas, device=x.device).double() / max(1, n_lambdas - 1))
    chunks = [_Chunk(x, margins[:, first:last], design) for first, last in _bounds(margins.shape[1], x.device)]
    for part in parts:
        held = torch.from_numpy(part).to(x.device)
        rest, x_held = design.without(x, held), x[held]
        for chunk in chunks:
            chunk.judge(rest, x_held, held, steps, alone=folds == 0, precise=precise)
    fitted = [chunk.fit(design, gap_tolerance, precise) for chunk in chunks]
    return Datamodels(*(np.concatenate(arrays) for arrays in zip(*fitted, strict=True)))


def solve(
    data: Moments,
    lambdas: Float[Tensor, " targets"],
    start: Float[Tensor, "train targets"],
    tolerance: float,
    *,
    precise: bool = False,
) -> tuple[Float[Tensor, "train targets"], Float[Tensor, " targets"]]:
    """Weights with a relative gap of at most `tolerance` at given penalties, and the gap of each target."""
    problem = Problem(data.cross.T, data.power, lambdas.double())
    found = solve_rows(data.design, problem, start.T, tolerance, precise=precise)
    return found.weights.T, found.gaps


def lambda_max(data: Moments | TargetMoments) -> Float[Tensor, " targets"]:
    """The smallest penalty for which all weights of a target are zero: max_j |x_jᵀ(y − ȳ)|/m."""
    return data.cross.abs().amax(0 if isinstance(data, Moments) else 1)


def _bounds(targets: int, device: torch.device) -> list[tuple[int, int]]:
    """First and last + 1 target of each chunk."""
    size = CHUNK.get(device.type, CHUNK["cpu"])
    return list(pairwise([*range(0, targets, size), targets]))


def _design(
    x: Int8[Tensor, "models train"],
    gram: Float[np.ndarray, "left right"] | Float[Tensor, "left right"] | None,
    memory_budget_mb: int | float,
) -> Design:
    """From counts if they fit, from the masks' bits otherwise; whether counts are at hand makes no difference."""
    counts = None if gram is None else torch.as_tensor(gram, dtype=torch.float32, device=x.device)
    if counts is not None:
        check_gram(counts, x)
    if gram_megabytes(len(x), x.shape[1], x.device) > memory_budget_mb:
        return PackedDesign.pack(x)
    return GramDesign(len(x), counts_of(x) if counts is None else counts)


def gram_megabytes(models: int, train: int, device: torch.device) -> float:
    """Peak memory of the lasso with counts, but for what grows with the number of targets.

    Five matrices [train, train] while counts are subtracted, the masks, and a chunk's weights and margins on the way.
    """
    chunk = CHUNK.get(device.type, CHUNK["cpu"]) * (128 * train + 64 * models)
    return (20 * train**2 + models * train + chunk) / 2**20


class _Chunk:
    """Some targets: exact sums of their margins, squared errors so far, and weights to start the last fit from."""

    def __init__(
        self, x: Int8[Tensor, "models train"], margins: Float[np.ndarray, "models targets"], design: Design
    ) -> None:
        self.margins = torch.from_numpy(np.ascontiguousarray(margins)).to(x.device)
        self.scale = Scale.of(self.margins)
        self.sums = sums(x, self.scale.numbers(self.margins))
        self.data = TargetMoments.of(self.sums, self.scale, design.mask_mean, len(x))
        self.grid = self.errors = self.start = torch.zeros(0)
        self.spread = self.data.power * len(x)

    def judge(
        self,
        rest: Design,
        x_held: Int8[Tensor, "held train"],
        held: Int[Tensor, " held"],
        steps: Float[Tensor, " lambdas"],
        *,
        alone: bool,
        precise: bool,
    ) -> None:
        """Add the squared errors on one held-out part; if no other follows, the path begins at λ_max of the rest."""
        margins = self.margins[held]
        taken = sums(x_held, self.scale.numbers(margins))
        data = TargetMoments.of(self.sums - taken, self.scale, rest.mask_mean, rest.models)
        if alone:
            self.spread = TargetMoments.of(taken, self.scale, rest.mask_mean, len(held)).power * len(held)
        if not len(self.errors):
            self.grid = lambda_max(data if alone else self.data)[:, None] * steps
            self.errors = torch.zeros_like(self.grid)
        errors, self.start = walk(rest, data, HeldOut(x_held, margins.T.double()), self.grid, precise)
        self.errors += errors

    def fit(self, design: Design, tolerance: float, precise: bool) -> tuple[np.ndarray, ...]:
        """Weights, bias, λ, gap and R² of the λ of least error, fitted on all models."""
        error, best = self.errors.min(1)
        lambdas = self.grid.gather(1, best[:, None])[:, 0]
        # A margin that varies on no fitted model has no path to choose from: it gets the penalty of no weights.
        lambdas = torch.where(lambdas > 0, lambdas, lambda_max(self.data))
        problem = Problem(self.data.cross, self.data.power, lambdas)
        found = solve_rows(design, problem, self.start, tolerance, precise=precise)
        tiny = torch.finfo(torch.float64).tiny
        r2 = torch.where(self.spread > 0, 1 - error / self.spread.clamp(min=tiny), 0.0)
        bias = self.data.bias(found.weights, design.mask_mean)
        return tuple(a.float().cpu().numpy() for a in (found.weights, bias, lambdas, found.gaps, r2))
