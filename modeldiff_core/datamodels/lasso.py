"""The lasso for all targets at once: λ for each by models held out, then weights with a certificate."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from modeldiff_core.datamodels.design import Design, GramDesign, PackedDesign
from modeldiff_core.datamodels.exact_sums import Scale, sums
from modeldiff_core.datamodels.folds import held_out
from modeldiff_core.datamodels.gram import check_gram, counts_of, on_device
from modeldiff_core.datamodels.lambda_path import HeldOut, walk
from modeldiff_core.datamodels.moments import Moments, TargetMoments, check_regression_input
from modeldiff_core.datamodels.protocol import Counts, Fit, FromMasks, Margins, Masks, Refit
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.datamodels.scaling import far_exponents
from modeldiff_core.datamodels.solver import CHUNK, Problem, solve_rows
from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.limits import Limit, check_limits
from modeldiff_core.statistics.replicates import Replicates

COMMON_GAP = 1e-2
"""Relative duality gap of refits at a common λ; the spread of what the null makes of them is far larger."""
ADDED = ("folds", "precise")
"""Settings that came later: the identity has them only where they are not as everything was before."""


@dataclass(frozen=True)
class Lasso(FromMasks):
    """Sparse datamodels, the paper's: fit_lasso says what its settings mean. Its defaults are stated only here."""

    uses_counts: ClassVar[bool] = True
    chunk: ClassVar[int | None] = None

    n_lambdas: Annotated[int, Limit(least=1)] = 20
    lambda_min_ratio: Annotated[float, Limit(above=0, below=1)] = 0.01
    validation_fraction: Annotated[float, Limit(above=0, below=1)] = 0.1
    folds: Annotated[int, Limit(least=0)] = 0
    gap_tolerance: Annotated[float, Limit(above=0)] = 1e-4
    memory_budget_mb: Annotated[int | float, Limit(above=0)] = 16384
    precise: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.lambda_min_ratio < 1:
            hint = "The path goes down from λ_max."
            raise ConfigError("regression.lambda_min_ratio", "a number in (0, 1)", self.lambda_min_ratio, hint)
        check = Check("regression")
        check(self.folds != 1, "folds", "0 for a held-out part, or 2 or more", self.folds)
        check_limits(self, check)

    def identity(self) -> dict[str, object]:
        """Return all settings but the memory, and those that were added later only where they are set."""
        settings = {name: value for name, value in super().identity().items() if name != "memory_budget_mb"}
        return {name: value for name, value in settings.items() if name not in ADDED or value}

    def named(self, kind: str) -> dict[str, object]:
        """Return the identity as it was named before there were other estimators."""
        return {"lasso": self.identity()}

    @classmethod
    def note(cls, settings: Mapping[str, object]) -> str:
        """Say how the penalty was chosen."""
        if "n_lambdas" not in settings:
            return ""
        folds, fraction = settings.get("folds"), settings.get("validation_fraction")
        held = (
            f"each of {folds} parts of the others in turn" if folds else f"a random share of {fraction} of the others"
        )
        return (
            f"Of {settings['n_lambdas']} penalties, from the least that gives no weight at all down to "
            f"{settings.get('lambda_min_ratio')} of it, each test image has the one of least squared error on {held}; "
            f"with it all of them were fitted, to a relative duality gap of {settings.get('gap_tolerance')}."
        )

    def prepare(self, masks: Masks, counts: Counts | None) -> Fit:
        """Return the fit of any targets; nothing is prepared but the counts, which may be at hand."""
        return lambda margins: _fit(self, masks, margins, counts, "cpu")

    def common(self, a: Datamodels, b: Datamodels) -> Refit:
        """Return the lasso at the mean of A's and B's λ, from the mean of their weights on."""
        lambdas = torch.from_numpy((a.lambdas + b.lambdas) / 2).double()
        start = torch.from_numpy((a.weights + b.weights) / 2)

        def refitted(masks: Masks, margins: Margins, counts: Counts | None) -> Float[np.ndarray, "targets train"]:
            far = far_exponents(margins)
            unit = torch.from_numpy(np.ldexp(1.0, far))[:, None]
            x, y = on_device(masks, "cpu"), torch.from_numpy(_in_units(margins, far))
            design, scale = GramDesign(len(x), counts_of(x) if counts is None else counts), Scale.of(y)
            data = TargetMoments.of(sums(x, scale.numbers(y)), scale, design.mask_mean, len(x))
            if not far.any():
                found = solve_rows(design, Problem(data.cross, data.power, lambdas), start, COMMON_GAP)
                return found.weights.float().contiguous().numpy()
            problem = Problem(data.cross, data.power, lambdas / unit[:, 0])
            found = solve_rows(design, problem, (start.double() / unit).float(), COMMON_GAP)
            return (found.weights.double() * unit).float().contiguous().numpy()

        return refitted


def fit_lasso(
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "rows targets"],
    *,
    n_lambdas: int = Lasso.n_lambdas,
    lambda_min_ratio: float = Lasso.lambda_min_ratio,
    validation_fraction: float = Lasso.validation_fraction,
    folds: int = Lasso.folds,
    gap_tolerance: float = Lasso.gap_tolerance,
    memory_budget_mb: int | float = Lasso.memory_budget_mb,
    precise: bool = Lasso.precise,
    gram: Float[np.ndarray, "left right"] | Float[Tensor, "left right"] | None = None,
    device: str = "cpu",
    seed: int = Lasso.seed,
) -> Datamodels:
    """Fit sparse datamodels: each target's argmin over (w, b) of (1/2m)·‖y − b − Xw‖² + λ‖w‖₁ (Datamodels, eq. 3).

    λ runs down a geometric path from λ_max, the smallest that gives w = 0, to lambda_min_ratio·λ_max; each target
    takes the one with the least squared error on models that were held out: a random validation_fraction of them, or
    with folds K ≥ 2 each of K parts in turn. Then it is fitted on all models until (P − D)/P ≤ gap_tolerance. X is the
    raw 0/1 mask matrix and b is not penalized, as in scikit-learn.

    memory_budget_mb: without room for XᵀX [train, train] its products are taken from the masks' bits.
    precise: everything in float64, to check the usual mix of precisions.
    gram: XᵀX of all these models, as `co_occurrence` gives it, if it is at hand; the result is the same, to the bit.

    Raises ConfigError for lengths that differ, margins that are not finite, masks without any example, more folds than
    models, a path that does not go down from λ_max, and a gram of other masks.
    """
    lasso = Lasso(
        n_lambdas=n_lambdas,
        lambda_min_ratio=lambda_min_ratio,
        validation_fraction=validation_fraction,
        folds=folds,
        gap_tolerance=gap_tolerance,
        memory_budget_mb=memory_budget_mb,
        precise=precise,
        seed=seed,
    )
    return _fit(lasso, masks, margins, gram, device)


def _fit(
    lasso: Lasso,
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "rows targets"],
    gram: Float[np.ndarray, "left right"] | Float[Tensor, "left right"] | None,
    device: str,
) -> Datamodels:
    check_regression_input(masks, margins)
    far = far_exponents(margins)
    if far.any():
        small = _fit(lasso, masks, _in_units(margins, far), gram, device)
        weights = np.ldexp(small.weights, far[:, None])
        return replace(small, weights=weights, bias=np.ldexp(small.bias, far), lambdas=np.ldexp(small.lambdas, far))
    parts = held_out(Replicates.of_masks(masks), lasso.folds, lasso.validation_fraction, lasso.seed)
    x = on_device(masks, device)
    design = _design(x, gram, lasso.memory_budget_mb)
    rungs = torch.arange(lasso.n_lambdas, device=x.device).double() / max(1, lasso.n_lambdas - 1)
    steps = lasso.lambda_min_ratio**rungs
    chunks = [_Chunk(x, margins[:, first:last], design) for first, last in _bounds(margins.shape[1], x.device)]
    for part in parts:
        held = torch.from_numpy(part).to(x.device)
        rest, x_held = design.without(x, held), x[held]
        for chunk in chunks:
            chunk.judge(rest, x_held, held, steps, alone=lasso.folds == 0, precise=lasso.precise)
    fitted = [chunk.fit(design, lasso.gap_tolerance, lasso.precise) for chunk in chunks]
    return Datamodels(*(np.concatenate(arrays) for arrays in zip(*fitted, strict=True)))


def _in_units(
    margins: Float[np.ndarray, "models targets"], far: Int[np.ndarray, " targets"]
) -> Float[np.ndarray, "models targets"]:
    """Return margins over 2^far of each target, as they are where all are 0."""
    return np.ascontiguousarray(np.ldexp(margins, -far) if far.any() else margins)


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
    """Return the smallest penalty for which all weights of a target are zero: max_j |x_jᵀ(y − ȳ)|/m."""
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
