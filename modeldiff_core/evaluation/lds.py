"""The linear datamodeling score: how well attributions predict models that they never saw."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.ranks import average_ranks
from modeldiff_core.identity import generator


def linear_datamodeling_score(
    weights: Float[np.ndarray, "targets train"],
    bias: Float[np.ndarray, " targets"],
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "rows targets"],
) -> Float[np.ndarray, " targets"]:
    """Spearman correlation over held-out models of true margins and predictions mask·w + b (TRAK, section 2).

    0 for a target whose prediction or margin does not vary. Raises ConfigError for fewer than 3 models or lengths
    that differ.
    """
    if len(masks) != len(margins):
        raise ConfigError("margins", f"a row for each of {len(masks)} masks", len(margins))
    if len(masks) < 3:
        raise ConfigError("subsets.evaluation_models", "3 or more", len(masks))
    return correlation(average_ranks(masks.astype(np.float32) @ weights.T + bias), average_ranks(margins))


def correlation(
    x: Float[np.ndarray, "models targets"], y: Float[np.ndarray, "models targets"]
) -> Float[np.ndarray, " targets"]:
    """Pearson correlation of matching columns; 0 where one of them is constant."""
    x, y = x - x.mean(0), y - y.mean(0)
    product = np.einsum("ij,ij->j", x, y)
    scale = np.sqrt(np.einsum("ij,ij->j", x, x) * np.einsum("ij,ij->j", y, y))
    return np.asarray(np.divide(product, scale, out=np.zeros_like(product), where=scale > 0))


@dataclass(frozen=True)
class Score:
    """Mean score over targets with its 95 % interval."""

    mean: float
    ci_low: float
    ci_high: float


def score_with_interval(
    weights: Float[np.ndarray, "targets train"],
    bias: Float[np.ndarray, " targets"],
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "models targets"],
    *,
    draws: int = 200,
    seed: int = 0,
) -> Score:
    """Mean score with a 95 % percentile bootstrap over held-out models and over targets, drawn together.

    Ranks are taken once, not in every draw: the drawn models' own ranks are nearly a monotone map of these, and the
    correlation of a draw costs a hundredth so.
    """
    predictions = masks.astype(np.float32) @ weights.T + bias
    mean = float(linear_datamodeling_score(weights, bias, masks, margins).mean())
    x, y = average_ranks(predictions), average_ranks(margins)
    rng = generator("lds", seed)
    n_models, n_targets = margins.shape
    means = np.empty(draws)
    for draw in range(draws):
        count = rng.multinomial(n_models, np.full(n_models, 1 / n_models)).astype(np.float64)
        chosen = rng.multinomial(n_targets, np.full(n_targets, 1 / n_targets)).astype(np.float64)
        means[draw] = _weighted_correlation(x, y, count / n_models) @ chosen / n_targets
    low, high = np.quantile(means, [0.025, 0.975])
    return Score(mean, float(low), float(high))


def _weighted_correlation(
    x: Float[np.ndarray, "models targets"], y: Float[np.ndarray, "models targets"], weight: Float[np.ndarray, " models"]
) -> Float[np.ndarray, " targets"]:
    mean_x, mean_y = weight @ x, weight @ y
    covariance = weight @ (x * y) - mean_x * mean_y
    scale = np.sqrt(np.clip((weight @ x**2 - mean_x**2) * (weight @ y**2 - mean_y**2), 0, None))
    return np.asarray(np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0))
