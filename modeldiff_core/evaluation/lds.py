"""The linear datamodeling score: how well attributions predict models that they were not fitted on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.statistics import average_ranks, correlation, rank_correlation
from modeldiff_core.statistics.correlation import centered
from modeldiff_core.statistics.replicates import Replicates

Columns = Float[np.ndarray, "models targets"]


def linear_datamodeling_score(
    weights: Float[np.ndarray, "targets train"],
    bias: Float[np.ndarray, " targets"],
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "rows targets"],
) -> Float[np.ndarray, " targets"]:
    """Return the Spearman correlation over held-out models of true margins and predictions mask·w + b.

    This is the linear datamodeling score (TRAK, section 2); 0 for a target whose prediction or margin does not vary.

    Args:
        weights: Weights of the datamodels, in raw mask units.
        bias: Their biases.
        masks: Masks of the held-out models.
        margins: Margins of the held-out models.

    Raises:
        ConfigError: For fewer than 3 models, and for masks and margins of different lengths.
    """
    predicted = _predictions(weights, bias, masks, margins)
    return rank_correlation(predicted, margins)


@dataclass(frozen=True)
class Score:
    """A mean score over targets with 95 % intervals.

    Attributes:
        mean: Mean over targets.
        ci_low: Lower end of the interval over models and targets, both redrawn.
        ci_high: Its upper end.
        over_targets: Interval for other targets and these held-out models.
        over_models: Interval for other held-out models and these targets.
    """

    mean: float
    ci_low: float
    ci_high: float
    over_targets: tuple[float, float]
    over_models: tuple[float, float]


@dataclass(frozen=True)
class Scores:
    """Mean scores of datamodels over targets, by what is taken of true margins and predictions on held-out models.

    spearman: the correlation of their ranks, the linear datamodeling score.
    pearson: their correlation. Both are 0 where the margin or its prediction is constant.
    r2: 1 − MSE/variance, which also asks for the right scale and level and has no lower bound; 0 where the margin is
    constant.
    """

    spearman: Score
    pearson: Score
    r2: Score


def scores_with_intervals(
    weights: Float[np.ndarray, "targets train"],
    bias: Float[np.ndarray, " targets"],
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "models targets"],
    *,
    draws: int = 200,
    seed: int = 0,
) -> Scores:
    """Return mean Spearman (the linear datamodeling score), Pearson and R² with 95 % percentile bootstraps.

    Held-out models (those of one mask together), targets, and both are redrawn, in the same way for all three. Ranks
    are computed once, not in every draw: ranks among the drawn models are nearly a monotone map of these, and all draws
    together then take a few matrix products.

    Args:
        weights: Weights of the datamodels, in raw mask units.
        bias: Their biases.
        masks: Masks of the held-out models.
        margins: Margins of the held-out models.
        draws: Bootstrap draws.
        seed: Seed of the draws.

    Raises:
        ConfigError: For fewer than 3 models, and for masks and margins of different lengths.
    """
    predicted = _predictions(weights, bias, masks, margins)
    drawn = _Draws.of(Replicates.of_masks(masks), margins.shape[1], draws, seed)
    x, y = _double(predicted), _double(margins)
    equal = np.full((1, len(masks)), 1 / len(masks))
    return Scores(
        spearman=_correlated(average_ranks(predicted), average_ranks(margins), drawn),
        pearson=_correlated(x, y, drawn),
        r2=_interval(_explained(x, y, equal)[0], _explained(x, y, drawn.models), drawn.targets),
    )


@dataclass(frozen=True)
class _Draws:
    """Shares of each model and each target in each bootstrap draw; the shares of a draw sum to 1."""

    models: Float[np.ndarray, "draws models"]
    targets: Float[np.ndarray, "draws targets"]

    @classmethod
    def of(cls, replicates: Replicates, targets: int, draws: int, seed: int) -> "_Draws":
        rng, sizes = generator("lds", seed), (len(replicates), targets)
        both = [[rng.multinomial(n, np.full(n, 1 / n)) for n in sizes] for _ in range(draws)]
        models = np.stack([replicates.rows_of(drawn) for drawn, _ in both])
        return cls(models / models.sum(1, keepdims=True), np.stack([drawn for _, drawn in both]) / targets)


def _correlated(x: Columns, y: Columns, drawn: _Draws) -> Score:
    return _interval(correlation(x, y), _weighted_correlation(x, y, drawn.models), drawn.targets)


def _interval(
    scores: Float[np.ndarray, " targets"],
    drawn: Float[np.ndarray, "draws targets"],
    shares: Float[np.ndarray, "draws targets"],
) -> Score:
    """Return the mean of `scores` (all models) with intervals from `drawn` (each draw's models) and target `shares`."""
    low, high = _percentiles(np.einsum("dt,dt->d", drawn, shares))
    return Score(float(scores.mean()), low, high, _percentiles(shares @ scores), _percentiles(drawn.mean(1)))


def _percentiles(means: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _weighted_correlation(
    x: Columns, y: Columns, weight: Float[np.ndarray, "draws models"]
) -> Float[np.ndarray, "draws targets"]:
    x, y = centered(x), centered(y)  # so that little is lost when the draws' own means are taken off
    mean_x, mean_y = weight @ x, weight @ y
    covariance = weight @ (x * y) - mean_x * mean_y
    scale = np.sqrt(np.clip((weight @ x**2 - mean_x**2) * (weight @ y**2 - mean_y**2), 0, None))
    return np.asarray(np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0))


def _explained(x: Columns, y: Columns, weight: Float[np.ndarray, "draws models"]) -> Float[np.ndarray, "draws targets"]:
    """Return 1 − MSE/variance of y; 0 where y does not vary."""
    error = weight @ (y - x) ** 2
    y = centered(y)
    variance = weight @ y**2 - (weight @ y) ** 2
    varies = variance > 1e-12 * (y**2).max(0)  # a draw may hold one model alone
    return np.asarray(1 - np.divide(error, variance, out=np.ones_like(error), where=varies))


def _predictions(
    weights: Float[np.ndarray, "targets train"],
    bias: Float[np.ndarray, " targets"],
    masks: Bool[np.ndarray, "models train"],
    margins: Shaped[np.ndarray, "rows targets"],
) -> Columns:
    if len(masks) != len(margins):
        raise ConfigError("margins", f"a row for each of {len(masks)} masks", len(margins))
    if len(masks) < 3:
        raise ConfigError("subsets.evaluation_models", "3 or more", len(masks))
    predicted = masks.astype(np.float32) @ weights.T
    predicted += bias
    return np.asarray(predicted)


def _double(values: Columns) -> Columns:
    return values.astype(np.float64)
