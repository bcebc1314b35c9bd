"""The score as a function of the number of models: one regression per nested prefix, each started from the last."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from modeldiff_core.datamodels import fit_lasso
from modeldiff_core.datamodels.lasso import Lasso, lambda_max, solve
from modeldiff_core.datamodels.moments import Moments, moments, validation_split
from modeldiff_core.evaluation.lds import linear_datamodeling_score
from modeldiff_core.statistics.replicates import Replicates

GAP, SEARCH_GAP = 1e-3, 1e-2
"""Relative duality gaps of a point's datamodels, and of those that only serve to choose λ."""
LARGER, SMALLER = 2, 4
"""Steps toward larger and smaller penalties on fit_lasso's path that a target may move from a prefix to the next.

The first penalty is chosen with few models; with one step to either side it stayed too large, and the score 0.07 too
low.
"""


@dataclass(frozen=True)
class MaskedMargins:
    """Models with the masks they were trained with and their margins."""

    masks: Bool[np.ndarray, "models train"]
    margins: Float[np.ndarray, "models targets"]


@dataclass(frozen=True)
class Point:
    """Datamodels of the first models of a design, with their scores on held-out models.

    Attributes:
        models: Number of models that the datamodels were fitted on.
        weights: The datamodels.
        steps: Position of each target on fit_lasso's path of penalties, from 0 at λ_max.
        scores: Linear datamodeling score of each target.
    """

    models: int
    weights: Float[np.ndarray, "targets train"]
    steps: Int[np.ndarray, " targets"]
    scores: Float[np.ndarray, " targets"]


def next_point(
    previous: Point | None,
    fitted: MaskedMargins,
    held_out: MaskedMargins,
    *,
    n_lambdas: int = Lasso.n_lambdas,
    lambda_min_ratio: float = Lasso.lambda_min_ratio,
    validation_fraction: float = Lasso.validation_fraction,
    seed: int = Lasso.seed,
) -> Point:
    """Return the point of the fitted models, given the point of fewer of the same models.

    The first point is ``fit_lasso``. Each later one starts from the previous weights, and chooses for each target the
    penalty of least error on a random `validation_fraction` of the models, among those around its previous position on
    the path: λ_max falls as models are added, but the position hardly moves.

    Args:
        previous: The point before this one; None for the first.
        fitted: The models that datamodels are fitted on, those of the previous point first.
        held_out: The models that datamodels are scored on.
        n_lambdas: Penalties on the path.
        lambda_min_ratio: Smallest penalty over the largest.
        validation_fraction: Share of the fitted models that chooses the penalty.
        seed: Seed of the choice of these models.
    """
    masks, margins = fitted.masks, fitted.margins
    x, y = torch.from_numpy(masks).float(), torch.from_numpy(np.asarray(margins, np.float32))
    fit, validation = validation_split(Replicates.of_masks(masks), validation_fraction, seed)
    part, everything = moments(x[fit], y[fit]), moments(x, y)
    step = lambda_min_ratio ** (1 / max(1, n_lambdas - 1))
    if previous is None:
        first = fit_lasso(
            masks,
            margins,
            n_lambdas=n_lambdas,
            lambda_min_ratio=lambda_min_ratio,
            validation_fraction=validation_fraction,
            gap_tolerance=GAP,
            seed=seed,
        )
        weights, bias = first.weights, first.bias
        position = torch.log(torch.from_numpy(first.lambdas) / lambda_max(part)) / math.log(step)
        steps = position.nan_to_num(0.0, 0.0, 0.0).round().long()
    else:
        start = torch.from_numpy(previous.weights.T).double()
        steps = _nearby(
            part, x[validation], y[validation], torch.from_numpy(previous.steps), start, step, n_lambdas - 1
        )
        solution, _ = solve(everything, lambda_max(part) * step**steps, start, GAP)
        weights, bias = solution.T.float().contiguous().numpy(), everything.bias(solution).float().numpy()
    scores = linear_datamodeling_score(weights, bias, held_out.masks, held_out.margins)
    return Point(len(masks), weights, steps.numpy(), scores)


def _nearby(
    data: Moments,
    x_validation: Float[torch.Tensor, "validation train"],
    y_validation: Float[torch.Tensor, "validation targets"],
    steps: Int[torch.Tensor, " targets"],
    start: Float[torch.Tensor, "train targets"],
    step: float,
    last: int,
) -> Int[torch.Tensor, " targets"]:
    """Return, among the steps around each target's, the one of least error on the validation models."""
    candidates = torch.stack([(steps + k).clamp(0, last) for k in range(-LARGER, SMALLER + 1)])
    errors = []
    for candidate in candidates:  # from the largest penalty down, each started from the one before
        start, _ = solve(data, lambda_max(data) * step**candidate, start, SEARCH_GAP)
        errors.append((y_validation - x_validation @ start.float() - data.bias(start).float()).square().mean(0))
    return candidates.gather(0, torch.stack(errors).argmin(0)[None])[0]
