"""The score as a function of the number of models: one regression for each nested prefix, each warm from the last."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from modeldiff_core.datamodels import fit_lasso
from modeldiff_core.datamodels.lasso import Lasso, lambda_max, solve
from modeldiff_core.datamodels.moments import Moments, moments, validation_split
from modeldiff_core.evaluation.lds import linear_datamodeling_score

GAP, SEARCH_GAP = 1e-3, 1e-2
"""Relative duality gaps of a point's datamodels, and of those that only choose λ."""
LARGER, SMALLER = 2, 4
"""Steps on fit_lasso's path of penalties that a target may move from one prefix to the next, either way.

On few models the penalty was chosen by few; with one step a side it stayed too large, and the score 0.07 too low.
"""


@dataclass(frozen=True)
class Point:
    """Datamodels of the first models of a design, and how well they predict the ones that were held out.

    models: how many they were fitted on. steps: each target's place on fit_lasso's path of penalties, from 0 at
    λ_max. scores: the linear datamodeling score of each target.
    """

    models: int
    weights: Float[np.ndarray, "targets train"]
    steps: Int[np.ndarray, " targets"]
    scores: Float[np.ndarray, " targets"]


def next_point(
    previous: Point | None,
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "models targets"],
    held_masks: Bool[np.ndarray, "held train"],
    held_margins: Float[np.ndarray, "held targets"],
    *,
    n_lambdas: int = Lasso.n_lambdas,
    lambda_min_ratio: float = Lasso.lambda_min_ratio,
    validation_fraction: float = Lasso.validation_fraction,
    seed: int = Lasso.seed,
) -> Point:
    """The point of these models, from the point of fewer of the same models.

    The first one is ``fit_lasso``. Each later one starts from the weights before it, and each target looks for the
    penalty of least error on a random validation_fraction of the models around the place on the path that it had: λ_max
    falls as models are added, and the place hardly moves.
    """
    x, y = torch.from_numpy(masks).float(), torch.from_numpy(np.asarray(margins, np.float32))
    fit, held = validation_split(len(masks), validation_fraction, seed)
    part, everything = moments(x[fit], y[fit]), moments(x, y)
    step = lambda_min_ratio ** (1 / max(1, n_lambdas - 1))
    if previous is None:
        fitted = fit_lasso(
            masks, margins, n_lambdas=n_lambdas, lambda_min_ratio=lambda_min_ratio,
            validation_fraction=validation_fraction, gap_tolerance=GAP, seed=seed,
        )  # fmt: skip
        weights, bias = fitted.weights, fitted.bias
        place = torch.log(torch.from_numpy(fitted.lambdas) / lambda_max(part)) / math.log(step)
        steps = place.nan_to_num(0.0, 0.0, 0.0).round().long()
    else:
        start = torch.from_numpy(previous.weights.T).double()
        steps = _nearby(part, x[held], y[held], torch.from_numpy(previous.steps), start, step, n_lambdas - 1)
        solution, _ = solve(everything, lambda_max(part) * step**steps, start, GAP)
        weights, bias = solution.T.float().contiguous().numpy(), everything.bias(solution).float().numpy()
    scores = linear_datamodeling_score(weights, bias, held_masks, held_margins)
    return Point(len(masks), weights, steps.numpy(), scores)


def _nearby(
    data: Moments,
    x_held: Float[torch.Tensor, "held train"],
    y_held: Float[torch.Tensor, "held targets"],
    steps: Int[torch.Tensor, " targets"],
    start: Float[torch.Tensor, "train targets"],
    step: float,
    last: int,
) -> Int[torch.Tensor, " targets"]:
    """Of the places around each target's, from the largest penalty down: the one of least error on held-out models."""
    places = torch.stack([(steps + k).clamp(0, last) for k in range(-LARGER, SMALLER + 1)])
    errors = []
    for place in places:
        start, _ = solve(data, lambda_max(data) * step**place, start, SEARCH_GAP)
        errors.append((y_held - x_held @ start.float() - data.bias(start).float()).square().mean(0))
    return places.gather(0, torch.stack(errors).argmin(0)[None])[0]
