"""The estimators that ship, and those that users register."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float

from modeldiff_core.datamodels.design import GramDesign
from modeldiff_core.datamodels.gram import counts_of, on_device
from modeldiff_core.datamodels.lasso import fit_lasso
from modeldiff_core.datamodels.least_squares import LeastSquares
from modeldiff_core.datamodels.means import DifferenceInMeans
from modeldiff_core.datamodels.moments import TargetMoments
from modeldiff_core.datamodels.protocol import Counts, Estimator, Fit, FromMasks, Margins, Masks, Refit
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.datamodels.ridge import Ridge
from modeldiff_core.datamodels.solver import Problem, solve_rows
from modeldiff_core.datamodels.trak import Trak
from modeldiff_core.datamodels.whole import Scale, sums
from modeldiff_core.errors import ConfigError
from modeldiff_core.registry import Registry

COMMON_GAP = 1e-2
"""Relative duality gap of refits at a common λ; the spread of what the null makes of them is far larger."""


@dataclass(frozen=True)
class Lasso(FromMasks):
    """Sparse datamodels, the paper's; see fit_lasso."""

    uses_counts: ClassVar[bool] = True
    chunk: ClassVar[int | None] = None

    n_lambdas: int = 20
    lambda_min_ratio: float = 0.01
    validation_fraction: float = 0.1
    folds: int = 0
    gap_tolerance: float = 1e-4
    memory_budget_mb: int = 16384
    precise: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds == 1:
            raise ConfigError("regression.folds", "0 for a held-out part, or 2 or more", self.folds)

    def identity(self) -> dict[str, object]:
        """All settings but the memory; those that came later only where they are not as they were before."""
        settings = {name: value for name, value in super().identity().items() if name != "memory_budget_mb"}
        return {n: v for n, v in settings.items() if n not in ("folds", "precise") or v}

    def prepare(self, masks: Masks, counts: Counts | None) -> Fit:
        return lambda margins: fit_lasso(masks, margins, gram=counts, **asdict(self))

    def common(self, a: Datamodels, b: Datamodels) -> Refit:
        """The lasso at the mean of A's and B's λ, from the mean of their weights on."""
        lambdas = torch.from_numpy((a.lambdas + b.lambdas) / 2).double()
        start = torch.from_numpy((a.weights + b.weights) / 2)

        def refitted(masks: Masks, margins: Margins, counts: Counts | None) -> Float[np.ndarray, "targets train"]:
            x, y = on_device(masks, "cpu"), torch.from_numpy(np.ascontiguousarray(margins))
            design, scale = GramDesign(len(x), counts_of(x) if counts is None else counts), Scale.of(y)
            data = TargetMoments.of(sums(x, scale.numbers(y)), scale, design.mask_mean, len(x))
            found = solve_rows(design, Problem(data.cross, data.power, lambdas), start, COMMON_GAP)
            return found.weights.float().contiguous().numpy()

        return refitted


ESTIMATORS: Registry[type[Estimator]] = Registry(
    "modeldiff.estimators",
    "regression.estimator",
    {
        "lasso": Lasso,
        "ridge": Ridge,
        "least_squares": LeastSquares,
        "difference_in_means": DifferenceInMeans,
        "trak": Trak,
    },
)
