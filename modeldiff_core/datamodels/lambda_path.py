"""Every target down its own path of penalties, and how well each stop predicts models that were held out."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from modeldiff_core.datamodels.design import MODELS, Design, in_groups, row_sums
from modeldiff_core.datamodels.moments import TargetMoments
from modeldiff_core.datamodels.solver import Problem, solve_rows

PATH_GAP = 1e-2
"""Relative gap on the way down the path, where only the order of validation errors matters."""
LOOK_EVERY = 4
"""λ after which slopes are computed again at the end, so that rough steps do not add up to a gap."""
PATIENCE = 3
"""A target leaves the path after this many λ in a row without a smaller validation error."""


@dataclass(frozen=True)
class HeldOut:
    """Masks and margins of the models that choose λ."""

    x: Int8[Tensor, "held train"]
    margins: Float[Tensor, "targets held"]

    def errors(
        self, weights: Float[Tensor, "targets train"], bias: Float[Tensor, " targets"], targets: Tensor
    ) -> Float[Tensor, " targets"]:
        """Sum of squared errors of some targets."""
        total = torch.zeros_like(bias)
        for x, margins in zip(self.x.split(MODELS), self.margins.split(MODELS, 1), strict=True):
            single = x.float()
            predicted = in_groups(lambda group, single=single: group @ single.T, weights.float())  # type: ignore[misc]
            total += row_sums((margins[targets] - predicted - bias[:, None]).square())
        return total


def walk(
    design: Design,
    data: TargetMoments,
    held: HeldOut,
    grid: Float[Tensor, "targets lambdas"],
    precise: bool,
) -> tuple[Float[Tensor, "targets lambdas"], Float[Tensor, "targets train"]]:
    """Squared errors on the held-out models, infinite after a target has left, and the weights of the least error.

    Each λ starts from the weights and slopes of the one before.
    """
    errors = torch.full_like(grid, float("inf"))
    best = torch.zeros_like(data.cross, dtype=torch.float32)
    least, waited = errors[:, 0].clone(), torch.zeros_like(errors[:, 0])
    active = torch.arange(len(grid), device=grid.device)
    weights, slopes = torch.zeros_like(best), data.cross.to(best.dtype)
    for k in range(grid.shape[1]):
        part = data.select(active)
        problem = Problem(part.cross, part.power, grid[active, k])
        found = solve_rows(
            design, problem, weights, PATH_GAP, slopes=slopes, precise=precise, trusting=k % LOOK_EVERY > 0
        )
        error = held.errors(found.weights, part.bias(found.weights, design.mask_mean), active)
        errors[active, k] = error
        better = error < least[active]
        improved = active[better]
        least[improved], best[improved] = error[better], found.weights[better].to(best.dtype)
        waited[active] = torch.where(better, 0.0, waited[active] + 1)
        stay = waited[active] < PATIENCE
        active, weights, slopes = active[stay], found.weights[stay], found.slopes[stay]
        if not len(active):
            break
    return errors, best
