"""The score as a function of the number of models: one regression for each nested prefix, each warm from the last."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from modeldiff_core.datamodels import fit_lasso
from modeldiff_core.datamodels.lasso import solve
from modeldiff_core.datamodels.moments import Moments, moments, validation_split
from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.lds import linear_datamodeling_score

GAP, SEARCH_GAP = 1e-3, 1e-2
"""Relative duality gaps of a point's datamodels, and of those that only choose λ."""
LESS, MORE = 4, 2
"""Steps of fit_lasso's path by which λ may fall and rise from one prefix to the next.

It falls as models are added, and on few models it was chosen by few; with one step a side it stayed too large, and the
score 0.07 too low.
"""


def prefixes(budget: int, held: int, growth: float, shard_size: int) -> tuple[int, ...]:
    """Numbers of models, whole shards each, that grow by `growth` from 2·held (at least held + 20) to the budget.

    The first `held` of them are kept for evaluation. All but the last are the same whatever the budget.
    Raises ConfigError for a growth that is not above 1.
    """
    if not growth > 1:
        raise ConfigError("subsets.rounds.growth", "a number above 1", growth)
    sizes: list[int] = []
    wanted = float(held + max(held, 20))
    while not sizes or sizes[-1] < budget:
        size = min(budget, -(-int(wanted) // shard_size) * shard_size)
        if not sizes or size > sizes[-1]:
            sizes.append(size)
        wanted *= growth
    return tuple(sizes)


@dataclass(frozen=True)
class Point:
    """Datamodels of the first models of a design, and how well they predict the ones that were held out.

    models: how many they were fitted on. scores: the linear datamodeling score of each target.
    """

    models: int
    weights: Float[np.ndarray, "targets train"]
    lambdas: Float[np.ndarray, " targets"]
    scores: Float[np.ndarray, " targets"]


def next_point(
    previous: Point | None,
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "models targets"],
    held_masks: Bool[np.ndarray, "held train"],
    held_margins: Float[np.ndarray, "held targets"],
    *,
    n_lambdas: int = 20,
    lambda_min_ratio: float = 0.01,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> Point:
    """The point of these models, from the point of fewer of the same models.

    The first one is ``fit_lasso``. Each later one starts from the weights before it and moves each target's λ by a few
    steps of fit_lasso's path, to the one of least error on a random validation_fraction of the models.
    """
    if previous is None:
        fitted = fit_lasso(
            masks, margins, n_lambdas=n_lambdas, lambda_min_ratio=lambda_min_ratio,
            validation_fraction=validation_fraction, gap_tolerance=GAP, seed=seed,
        )  # fmt: skip
        weights, bias, lambdas = fitted.weights, fitted.bias, fitted.lambdas
    else:
        x, y = torch.from_numpy(masks).float(), torch.from_numpy(np.asarray(margins, np.float32))
        start, near = torch.from_numpy(previous.weights.T).double(), torch.from_numpy(previous.lambdas).double()
        fit, held = validation_split(len(masks), validation_fraction, seed)
        step = lambda_min_ratio ** (1 / max(1, n_lambdas - 1))
        chosen = _nearby(moments(x[fit], y[fit]), x[held], y[held], near, start, step)
        everything = moments(x, y)
        solution, _ = solve(everything, chosen, start, GAP)
        weights, lambdas = solution.T.float().contiguous().numpy(), chosen.float().numpy()
        bias = everything.bias(solution).float().numpy()
    scores = linear_datamodeling_score(weights, bias, held_masks, held_margins)
    return Point(len(masks), weights, lambdas, scores)


def _nearby(
    data: Moments,
    x_held: Float[torch.Tensor, "held train"],
    y_held: Float[torch.Tensor, "held targets"],
    lambdas: Float[torch.Tensor, " targets"],
    start: Float[torch.Tensor, "train targets"],
    step: float,
) -> Float[torch.Tensor, " targets"]:
    """Of the penalties around each target's λ, from the largest down: the one of least error on held-out models."""
    candidates = torch.stack([lambdas * step**k for k in range(-MORE, LESS + 1)])
    errors = []
    for candidate in candidates:
        start, _ = solve(data, candidate, start, SEARCH_GAP)
        errors.append((y_held - x_held @ start.float() - data.bias(start).float()).square().mean(0))
    best = torch.stack(errors).argmin(0)
    return candidates.gather(0, best[None])[0]
