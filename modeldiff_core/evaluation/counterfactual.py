"""Counterfactual check: do margins move as datamodels predict when the examples that they name are removed?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from modeldiff_core.identity import generator
from modeldiff_core.statistics import average_ranks, correlation
from modeldiff_core.statistics.replicates import Replicates


def most_helpful(weights: Float[np.ndarray, " train"], top_k: int) -> Int[np.ndarray, " chosen"]:
    """Return the `top_k` training examples of largest weight, the largest first; ties go to the earlier example."""
    return np.argsort(-weights, kind="stable")[:top_k]


def predicted_change(
    weights: Float[np.ndarray, " train"],
    before: Bool[np.ndarray, "models train"],
    after: Bool[np.ndarray, "models train"],
) -> Float[np.ndarray, " models"]:
    """Return the change of each model's margin that a datamodel predicts: Σ weight·(after − before)."""
    return np.asarray((after.astype(np.float64) - before) @ weights.astype(np.float64))


@dataclass(frozen=True)
class Agreement:
    """The agreement of predicted and actual changes of margins over targets, with 95 % intervals.

    Attributes:
        pearson: Correlation of the changes, which are means over models.
        pearson_interval: Its 95 % interval.
        spearman: Correlation of their ranks.
        spearman_interval: Its 95 % interval.
        slope: Slope of actual on predicted changes through the origin; 1 if predictions have the right size.
    """

    pearson: float
    pearson_interval: tuple[float, float]
    spearman: float
    spearman_interval: tuple[float, float]
    slope: float


def agreement(
    predicted: Float[np.ndarray, "models targets"],
    actual: Float[np.ndarray, "models targets"],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Return correlations over targets of mean changes over models, bootstrapped over models and targets together.

    Args:
        predicted: Predicted changes of margins.
        actual: Actual changes of margins.
        draws: Bootstrap draws.
        seed: Seed of the draws.
    """
    models, targets = actual.shape
    rng = generator("counterfactual", seed)
    rows = Replicates.single(models).bootstrap(draws, rng) / models
    columns = rng.integers(targets, size=(draws, targets))
    x = np.take_along_axis(rows @ predicted, columns, axis=1).T
    y = np.take_along_axis(rows @ actual, columns, axis=1).T
    mean_x, mean_y = predicted.mean(0), actual.mean(0)
    return Agreement(
        pearson=_correlation(mean_x, mean_y),
        pearson_interval=_interval(correlation(x, y)),
        spearman=_correlation(average_ranks(mean_x[:, None])[:, 0], average_ranks(mean_y[:, None])[:, 0]),
        spearman_interval=_interval(correlation(average_ranks(x), average_ranks(y))),
        slope=float(mean_x @ mean_y / max(mean_x @ mean_x, np.finfo(np.float64).tiny)),
    )


def _correlation(x: Shaped[np.ndarray, " targets"], y: Shaped[np.ndarray, " targets"]) -> float:
    return float(correlation(x[:, None], y[:, None])[0])


def _interval(values: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
