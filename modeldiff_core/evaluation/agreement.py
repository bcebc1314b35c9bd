"""How often two models predict the same class: of one algorithm, and of two."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit

from modeldiff_core.identity import generator
from modeldiff_core.statistics import Interval

EXCHANGES = 999
"""Random exchanges of models between the algorithms behind the test."""

PredictionsA = Int[np.ndarray, "models_a targets"]
PredictionsB = Int[np.ndarray, "models_b targets"]


@dataclass(frozen=True)
class Agreement:
    """Shares of images on which two models predict the same class.

    a, b: two models of A, two of B. between: one of A and one of B. beyond: (a + b)/2 − between, how much the two
    algorithms disagree beyond what two seeds of one do. p: chance of so large a `beyond` if A's and B's models were
    drawn alike.
    """

    a: Interval
    b: Interval
    between: Interval
    beyond: Interval
    p: float


def agreement(
    a: PredictionsA, b: PredictionsB, pairing: Literal["independent", "paired"], level: float = 0.95, seed: int = 0
) -> Agreement:
    """Return how often models agree, with intervals for new models and new images; at least 2 models of each.

    Every two different models are compared, so that shares have no bias. se² is the jackknife's over models (each left
    out once) plus the images' variance over their number; Student's quantile has as many degrees of freedom as the
    fewer models have. p comes from EXCHANGES exchanges of models between A and B, of models of one number where seeds
    are shared, which is exact if A and B are one algorithm.
    """
    both = np.concatenate([a, b])
    same = np.stack([(both == own).mean(1) for own in both])
    in_a = np.arange(len(both)) < len(a)
    shares, by_image = _shares(same, in_a), _by_image(a, b)
    variance = by_image.var(axis=1, ddof=1) / by_image.shape[1]
    for own in (in_a, ~in_a):
        if own.sum() > 2:
            left = [_shares(*_without(same, in_a, m)) for m in np.flatnonzero(own)]
            variance = variance + (len(left) - 1) * np.var(left, axis=0)
    half = stdtrit(min(len(a), len(b)) - 1, (1 + level) / 2) * np.sqrt(variance)
    within_a, within_b, between, beyond = (
        Interval(float(mean), float(mean - width), float(mean + width), float(np.sqrt(square)))
        for mean, width, square in zip(shares, half, variance, strict=True)
    )
    drawn = _exchanges(len(a), len(b), pairing, seed)
    reached = sum(bool(_shares(same, own)[3] >= shares[3] - 1e-12) for own in drawn)
    return Agreement(within_a, within_b, between, beyond, (1 + reached) / (1 + EXCHANGES))


def _shares(same: Float[np.ndarray, "models models"], in_a: Bool[np.ndarray, " models"]) -> Float[np.ndarray, "4"]:
    """Return agreement within A, within B, between them, and beyond, from that of every two models."""
    first, second = in_a.astype(np.float64), 1.0 - in_a
    sizes = first.sum(), second.sum()
    a, b = ((own @ same @ own - n) / (n * (n - 1)) for own, n in zip((first, second), sizes, strict=True))
    between = first @ same @ second / (sizes[0] * sizes[1])
    return np.array([a, b, between, (a + b) / 2 - between])


def _without(
    same: Float[np.ndarray, "models models"], in_a: Bool[np.ndarray, " models"], model: np.integer
) -> tuple[Float[np.ndarray, "fewer fewer"], Bool[np.ndarray, " fewer"]]:
    kept = np.arange(len(in_a)) != model
    return same[np.ix_(kept, kept)], in_a[kept]


def _by_image(a: PredictionsA, b: PredictionsB) -> Float[np.ndarray, "4 targets"]:
    """Return the same shares on each image: from n_c of M models that predict class c, Σ n_c·(n_c − 1)/(M·(M − 1))."""
    classes = int(max(a.max(), b.max())) + 1
    places = np.arange(a.shape[1])
    counts = []
    for predictions in (a, b):
        own = np.zeros((a.shape[1], classes), np.float32)
        for row in predictions:
            own[places, row] += 1
        counts.append(own)
    within = [
        (own * (own - 1)).sum(1, dtype=np.float64) / (len(x) * (len(x) - 1))
        for own, x in zip(counts, (a, b), strict=True)
    ]
    between = (counts[0] * counts[1]).sum(1, dtype=np.float64) / (len(a) * len(b))
    return np.stack([*within, between, (within[0] + within[1]) / 2 - between])


def _exchanges(
    models_a: int, models_b: int, pairing: Literal["independent", "paired"], seed: int
) -> list[Bool[np.ndarray, " models"]]:
    """Return which models count as A's in each exchange."""
    rng, drawn = generator("agreement", seed), []
    for _ in range(EXCHANGES):
        if pairing == "paired" and models_a == models_b:
            stays = rng.random(models_a) < 0.5
            drawn.append(np.concatenate([stays, ~stays]))
        else:
            drawn.append(rng.permutation(models_a + models_b) < models_a)
    return drawn
