"""Counterfactual check: whether margins move as datamodels say when examples that they name are taken away."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from modeldiff_core.identity import generator
from modeldiff_core.statistics import average_ranks, correlation
from modeldiff_core.subsets import SubsetSampler


def most_helpful(weights: Float[np.ndarray, " train"], top_k: int) -> Int[np.ndarray, " chosen"]:
    """The `top_k` training examples of largest weight, the largest first; ties go to the earlier example."""
    return np.argsort(-weights, kind="stable")[:top_k]


@dataclass(frozen=True)
class SamplerWithout(SubsetSampler):
    """Draws what the design would draw if some training examples did not exist.

    A model's subset is as large as before, since trainers and datamodels know one size: those removed from it are
    replaced by the next of its random order.
    """

    removed: tuple[int, ...]

    def masks(self, models: Sequence[int] | range | Int[np.ndarray, " models"]) -> Bool[np.ndarray, "models train"]:
        """Masks of the given models."""
        masks = np.zeros((len(models), self.n_train), dtype=bool)
        for row, model in enumerate(models):
            order = self.order(int(model))
            masks[row, order[~np.isin(order, self.removed)][: self.size]] = True
        return masks


def predicted_change(
    weights: Float[np.ndarray, " train"],
    before: Bool[np.ndarray, "models train"],
    after: Bool[np.ndarray, "models train"],
) -> Float[np.ndarray, " models"]:
    """What a datamodel says of each model whose mask changes: Σ weight·(after − before)."""
    return np.asarray((after.astype(np.float64) - before) @ weights.astype(np.float64))


@dataclass(frozen=True)
class Agreement:
    """How well predicted and actual changes of margins agree over targets, with 95 % intervals.

    Changes are means over models. slope: of actual on predicted changes through the origin; 1 if the size is right.
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
    """Correlations over targets of the changes' means over models, bootstrapped over models and targets together."""
    models, targets = actual.shape
    rng = generator("counterfactual", seed)
    rows = rng.multinomial(models, np.full(models, 1 / models), size=draws) / models
    columns = rng.integers(targets, size=(draws, targets))
    x = np.take_along_axis(rows @ predicted, columns, axis=1).T
    y = np.take_along_axis(rows @ actual, columns, axis=1).T
    mean_x, mean_y = predicted.mean(0), actual.mean(0)
    return Agreement(
        pearson=_one(mean_x, mean_y),
        pearson_interval=_interval(correlation(x, y)),
        spearman=_one(average_ranks(mean_x[:, None])[:, 0], average_ranks(mean_y[:, None])[:, 0]),
        spearman_interval=_interval(correlation(average_ranks(x), average_ranks(y))),
        slope=float(mean_x @ mean_y / max(mean_x @ mean_x, np.finfo(np.float64).tiny)),
    )


def _one(x: Shaped[np.ndarray, " targets"], y: Shaped[np.ndarray, " targets"]) -> float:
    return float(correlation(x[:, None], y[:, None])[0])


def _interval(values: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
