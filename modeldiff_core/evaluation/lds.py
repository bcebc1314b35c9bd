"""The linear datamodeling score: how well attributions predict models that they were not fitted on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.special import stdtrit

from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.pseudo_values import (
    Columns,
    explained,
    explained_values,
    pearson_values,
    spearman_values,
)
from modeldiff_core.statistics import correlation, rank_correlation, two_way_interval
from modeldiff_core.statistics.replicates import Replicates


def linear_datamodeling_score(
    weights: Float[np.ndarray, "targets train"],
    bias: Float[np.ndarray, " targets"],
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "rows targets"],
) -> Float[np.ndarray, " targets"]:
    """Return the Spearman correlation over held-out models of true margins and predictions mask·w + b.

    For each target ρ_S(y, Xw + b) over models, X [models, train] their masks, y their margins: the linear datamodeling
    score (TRAK, section 2); 0 for a target whose prediction or margin does not vary.

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
        mean: Mean over targets of the scores as they are on the held-out models.
        corrected: The same without the bias of few held-out models. All intervals are about it.
        ci_low: Lower end of the interval for other held-out models and other targets.
        ci_high: Its upper end.
        over_targets: Interval for other targets and these held-out models.
        over_models: Interval for other held-out models and these targets.
    """

    mean: float
    corrected: float
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
) -> Scores:
    """Return mean Spearman (the linear datamodeling score), Pearson and R² with 95 % intervals.

    Held-out models and targets are both a sample. Each score has a pseudo-value for every model and target
    (``evaluation.pseudo_values``); the interval for new models and new targets is that of `two_way_interval` on them,
    those for either alone are Student's on the means; models of one mask count as one. The ends are taken on Fisher's
    scale artanh r of a correlation and on the scale −log(1 − R²), on which errors are nearly normal.

    Args:
        weights: Weights of the datamodels, in raw mask units.
        bias: Their biases.
        masks: Masks of the held-out models.
        margins: Margins of the held-out models.

    Raises:
        ConfigError: For fewer than 3 models, and for masks and margins of different lengths.
    """
    return scores_of_predictions(_predictions(weights, bias, masks, margins), masks, margins)


def scores_of_predictions(
    predicted: Float[np.ndarray, "models targets"],
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "models targets"],
) -> Scores:
    """Return the same scores of margins that were predicted in another way than by weights.

    Raises ConfigError for fewer than 3 models.
    """
    if len(margins) < 3:
        raise ConfigError("subsets.evaluation_models", "at least 3", len(margins))
    x, y = _double(predicted), _double(margins)
    replicates = Replicates.of_masks(masks)

    def score(plain: Float[np.ndarray, " targets"], values: Columns, scale: _Scale) -> Score:
        return _score(plain, replicates.means(values), scale)

    return Scores(
        spearman=score(rank_correlation(predicted, margins), spearman_values(x, y), FISHER),
        pearson=score(correlation(x, y), pearson_values(x, y), FISHER),
        r2=score(explained(x, y), explained_values(x, y), UNEXPLAINED),
    )


@dataclass(frozen=True)
class _Scale:
    """A monotone scale for a score's ends: onto it, its derivative, and back."""

    onto: Callable[[float], float]
    slope: Callable[[float], float]
    back: Callable[[float], float]


FISHER = _Scale(np.arctanh, lambda r: 1 / (1 - r * r), np.tanh)
UNEXPLAINED = _Scale(lambda r: -np.log1p(-r), lambda r: 1 / (1 - r), lambda z: -np.expm1(-z))
LEVEL = 0.95
PERFECT = 1e-9
"""A score as near as this to 1, or a correlation to −1, has no interval: the prediction leaves nothing over."""


def _score(plain: Float[np.ndarray, " targets"], values: Columns, scale: _Scale) -> Score:
    """Return the mean of `plain` with intervals about the mean of the pseudo-values."""
    center = min(1.0, float(values.mean()))
    if scale is FISHER:
        center = max(-1.0, center)
    over_models = _half_width(values.mean(1))
    over_targets = _half_width(values.mean(0))
    both = over_models
    if values.shape[1] > 1:
        found = two_way_interval(values, level=LEVEL)
        both = found.high - found.mean
    low, high = _ends(center, both, scale)
    return Score(
        mean=float(plain.mean()),
        corrected=center,
        ci_low=low,
        ci_high=high,
        over_targets=_ends(center, over_targets, scale),
        over_models=_ends(center, over_models, scale),
    )


def _half_width(means: Float[np.ndarray, " values"]) -> float:
    """Return half of Student's interval of the mean of independent values; 0 for one alone."""
    n = len(means)
    return 0.0 if n < 2 else float(stdtrit(n - 1, (1 + LEVEL) / 2) * means.std(ddof=1) / np.sqrt(n))


def _ends(center: float, half: float, scale: _Scale) -> tuple[float, float]:
    if half == 0 or 1 - abs(center) < PERFECT:
        return center, center
    middle, width = scale.onto(center), half * scale.slope(center)
    return float(scale.back(middle - width)), float(scale.back(middle + width))


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
