"""Means over models and images with their uncertainty, and tests of a difference.

The expectation of an effect is over inputs and over training randomness (arXiv 2211.12491), so both the models and
the images are a sample: change[m, i] = μ + a_m + b_i + e_mi with independent parts of unknown variances.
"""

from dataclasses import dataclass
from math import hypot, sqrt
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from modeldiff_core.errors import ConfigError, Diverged

FLOOR = 0.5
"""Least estimate of a variance, as a share of its interaction part.

Where models and images differ only by interaction, the unbiased estimate from few models can come out near or below 0.
In simulations of that case a floor of 1 lets 95 % intervals cover 97 to 98 %, and hardly any (0.05) 93 %.
"""
FEWEST = 6
"""Degrees of freedom of the models' variance, of both algorithms together, from which on Satterthwaite's hold in tests.

With fewer, that variance is little more than a guess, and of many tests those whose guess is far too small win: of 150
simulated null studies of 24 tests adjusted by Holm, 29 % found something with 3 pairs of models, 17 % with 3 models of
each that were not paired (``benchmarks/effect_tests.py``).
"""

LEAST_P = 1e-100
"""No smaller p is looked for."""


@dataclass(frozen=True)
class Interval:
    """A mean over models and images with its confidence interval and standard error."""

    mean: float
    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class Difference:
    """Mean of A minus mean of B with its confidence interval, and the two-sided p of no difference."""

    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class _Sample:
    """One algorithm's changes: their mean, the part of it by image, and variances of the mean over models.

    models: variance of the models' means / models. interaction: residual variance / (models · images).
    """

    n_models: int
    n_images: int
    mean: float
    by_image: Float[np.ndarray, " images"]
    models: float
    interaction: float


def _sample(changes: Float[np.ndarray, "models images"]) -> _Sample:
    n_models, n_images = changes.shape
    if n_models < 2:
        raise ConfigError("effects", "at least 2 models of each algorithm", n_models)
    if n_images < 2:
        raise ConfigError("effects.max_images", "at least 2 images", n_images)
    finite = np.isfinite(changes).all(axis=1)
    if not finite.all():
        raise Diverged(f"effects: model {int(np.argmin(finite))} has changes that are not finite")
    # Measured from one of the values, so that equal values have a variance of exactly 0.
    origin = float(changes[0, 0])
    x = changes.astype(np.float64) - origin
    by_model, by_image, mean = x.mean(axis=1), x.mean(axis=0), float(x.mean())
    rest = x - by_model[:, None] - by_image + mean
    return _Sample(
        n_models=n_models,
        n_images=n_images,
        mean=origin + mean,
        by_image=by_image,
        models=float(by_model.var(ddof=1)) / n_models,
        interaction=float(np.square(rest).sum()) / ((n_models - 1) * (n_images - 1)) / (n_models * n_images),
    )


@dataclass(frozen=True)
class _Spread:
    """How sure a mean is: its standard error, and the quantile of the error for a chance.

    parts: variances of the mean with their degrees of freedom, added up by Banerjee's rule (1960), which holds the mean
    at least as often as it says: half² = Σ t²(freedom)·variance. Empty: Student's t with `freedom`.
    """

    error: float
    freedom: float
    parts: tuple[tuple[float, float], ...] = ()

    def half_width(self, level: float) -> float:
        """Return half of the interval's width."""
        return self._beyond((1 - level) / 2)

    def p(self, distance: float) -> float:
        """Return the two-sided chance that a mean is off by so much or more."""
        if self.error == 0:
            return float(distance == 0)
        if not self.parts:
            return 2 * float(stdtr(self.freedom, -distance / self.error))
        if self._beyond(0.5) >= distance or self._beyond(LEAST_P / 2) <= distance:
            return 1.0 if self._beyond(0.5) >= distance else LEAST_P
        found = brentq(lambda log_p: self._beyond(np.exp(log_p) / 2) - distance, np.log(LEAST_P), 0.0, rtol=1e-10)
        return float(np.exp(found))

    def _beyond(self, tail: float) -> float:
        """Return the distance that a mean is beyond, on one side, with that chance."""
        if self.error == 0:
            return 0.0
        if not self.parts:
            return -self.error * float(stdtrit(self.freedom, tail))
        return hypot(*(float(stdtrit(freedom, tail)) * sqrt(variance) for variance, freedom in self.parts if variance))


def _spread(by_image: Float[np.ndarray, " images"], *samples: _Sample) -> _Spread:
    """Return how sure the mean of `by_image` is, with Satterthwaite's degrees of freedom."""
    n_images = len(by_image)
    images = float(by_image.var(ddof=1)) / n_images
    interaction = sum(s.interaction for s in samples)
    variance = max(sum(s.models for s in samples) + images - interaction, FLOOR * interaction)
    if variance == 0:
        return _Spread(0.0, np.inf)
    # Ratios, because the squares of the variances of saturated models underflow.
    spread = (images / variance) ** 2 / (n_images - 1)
    for s in samples:
        models, rest = s.models / variance, s.interaction / variance
        spread += (models**2 + rest**2 / (n_images - 1)) / (s.n_models - 1)
    fewest = min(n_images, *(s.n_models for s in samples))
    return _Spread(sqrt(variance), max(1 / spread, fewest - 1.0))


def _tested(by_image: Float[np.ndarray, " images"], *samples: _Sample) -> _Spread:
    """Return the same for a test, of which there are many: with parts where models are few."""
    spread, n_images = _spread(by_image, *samples), len(by_image)
    if sum(s.n_models - 1 for s in samples) >= FEWEST:
        return spread
    images = float(by_image.var(ddof=1)) / n_images
    parts = ((images, n_images - 1.0), *((s.models, s.n_models - 1.0) for s in samples))
    return _Spread(spread.error, spread.freedom, parts)


def two_way_interval(changes: Float[np.ndarray, "models images"], *, level: float = 0.95) -> Interval:
    """Return the mean over models and images with an interval that holds it for new models *and* new images.

    mean ± t·se,  se² = var_m(mean_i)/models + var_i(mean_m)/images − var(rest)/(models·images),
    where rest = change − model's mean − image's mean + mean: the first two terms both hold the interaction's part, the
    third takes one of them away. The variances are unbiased; se² is at least half the interaction's part; t is
    Student's quantile with Satterthwaite's degrees of freedom. Width 0 for changes that are all equal.

    Raises ConfigError for fewer than 2 models or images, Diverged for changes that are not finite.
    """
    sample = _sample(changes)
    spread = _spread(sample.by_image, sample)
    half = spread.half_width(level)
    return Interval(sample.mean, sample.mean - half, sample.mean + half, spread.error)


def difference_test(
    a: Float[np.ndarray, "models_a images"],
    b: Float[np.ndarray, "models_b images"],
    *,
    level: float = 0.95,
    models: Literal["independent", "paired"] = "independent",
) -> Difference:
    """Return ā − b̄ on the same images, means over models and images, with Student's test of no difference.

    se² as in `two_way_interval`, with the images' term that of the difference of A's and B's mean on each image: what
    moves both alike cancels. For independent models the models' and interaction's terms of A and of B are added up;
    paired ones are model m of A and of B, trained from one seed: all terms are those of the differences a[m, i] −
    b[m, i], so that what a seed does to both cancels, too. Pairs that have nothing in common cost degrees of freedom
    and no more. With few models (FEWEST) each term has a quantile of its own.

    Raises ConfigError for fewer than 2 models or images, and for pairs of different numbers of models; Diverged for
    changes that are not finite.
    """
    of_a, of_b = _sample(a), _sample(b)
    mean = of_a.mean - of_b.mean
    if models == "paired":
        if len(a) != len(b):
            raise ConfigError("ensemble.models", f"as many models of B as of A ({len(a)})", len(b))
        both = _sample(a.astype(np.float64) - b)
        spread = _tested(both.by_image, both)
    else:
        spread = _tested(of_a.by_image - of_b.by_image, of_a, of_b)
    half = spread.half_width(level)
    return Difference(mean, mean - half, mean + half, spread.p(abs(mean)))
