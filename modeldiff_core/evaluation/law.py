"""The law that a learning curve follows, and what it says of numbers of models that were not trained."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import least_squares

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator

SKIPPED = 2
"""Fewest points at the start of a curve that the law leaves out: the lasso has hardly begun to see anything there."""
LEAST_POINTS = SKIPPED + 4
"""Fewest points of a curve that the law's three parameters are fitted to."""
FARTHEST = 1000.0
"""How many times the largest number of models a fitted curve is followed."""


@dataclass(frozen=True)
class Law:
    """score(m) = plateau − missing·(m/first)^(−rate) after m fitted models; `first` is where the law begins.

    plateau: the score that endless models would reach, in [−1, 1]. missing: what the first point lacks of it.
    """

    plateau: float
    missing: float
    rate: float
    first: int

    def score(self, models: float) -> float:
        """The score after so many fitted models."""
        return self.plateau - self.missing * math.pow(models / self.first, -self.rate)

    def models(self, score: float) -> float:
        """Fitted models after which the score is reached; infinity if it never is."""
        if score >= self.plateau:
            return math.inf
        if score <= self.plateau - self.missing:
            return float(self.first)
        return self.first * math.pow((self.plateau - score) / self.missing, -1 / self.rate)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval over targets."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LearningCurve:
    """Scores after growing numbers of models, all on the same held-out models.

    models: fitted models behind each point, rising. scores: linear datamodeling score of each target.
    """

    models: Int[np.ndarray, " points"]
    scores: Float[np.ndarray, "points targets"]

    @property
    def means(self) -> Float[np.ndarray, " points"]:
        """The mean score of each point."""
        return np.asarray(self.scores.mean(1))


@dataclass(frozen=True)
class FittedCurve:
    """The law of a learning curve, and those of its targets drawn anew, which tell how certain it is."""

    law: Law
    redrawn: tuple[Law, ...]
    reach: float

    @classmethod
    def of(cls, curve: LearningCurve, *, draws: int = 100, seed: int = 0) -> "FittedCurve":
        """Fit the law by least squares; raises ConfigError for fewer than LEAST_POINTS points."""
        if len(curve.models) < LEAST_POINTS:
            raise ConfigError(
                "subsets.models", f"a learning curve of at least {LEAST_POINTS} points", len(curve.models),
                "Train more models, or lower subsets.rounds.growth or subsets.evaluation_models",
            )  # fmt: skip
        rng, n = generator("curve", seed), curve.scores.shape[1]
        laws = [fit_law(LearningCurve(curve.models, curve.scores[:, rng.integers(n, size=n)])) for _ in range(draws)]
        return cls(fit_law(curve), tuple(laws), FARTHEST * float(curve.models[-1]))

    def score(self, models: float) -> Estimate:
        """The score after so many fitted models."""
        return self._estimate([law.score(models) for law in (self.law, *self.redrawn)])

    @property
    def plateau(self) -> Estimate:
        """The score that no number of models surpasses."""
        return self._estimate([law.plateau for law in (self.law, *self.redrawn)])

    def models(self, score: float) -> Estimate:
        """Fitted models needed for a score; infinite where a law never gets there, or not within FARTHEST."""
        needed = [law.models(score) for law in (self.law, *self.redrawn)]
        return self._estimate([models if models <= self.reach else math.inf for models in needed])

    def _estimate(self, values: list[float]) -> Estimate:
        ordered = sorted(values[1:])
        last = len(ordered) - 1
        return Estimate(values[0], ordered[round(0.025 * last)], ordered[round(0.975 * last)])


def fit_law(curve: LearningCurve) -> Law:
    """The law of least squared error in the mean scores.

    The first third of the points, at least SKIPPED, is left out: the law is that of the end of a curve, and asked about
    the end.
    """
    first = max(SKIPPED, len(curve.models) // 3)
    models, scores = curve.models[first:], curve.means[first:]
    ratio = models / models[0]
    spread = max(float(scores.max() - scores.min()), 1e-3)
    start = [min(float(scores.max()) + spread / 4, 0.99), spread, 0.5]
    bounds = ([-1.0, 0.0, 0.05], [1.0, 2.0, 5.0])
    found = least_squares(_departure, start, bounds=bounds, x_scale=[0.1, 0.1, 0.5], args=(ratio, scores))
    plateau, missing, rate = (float(value) for value in found.x)
    return Law(plateau, missing, rate, int(models[0]))


def _departure(
    p: Float[np.ndarray, " parameters"], ratio: Float[np.ndarray, " points"], scores: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    return np.asarray(p[0] - p[1] * ratio ** -p[2] - scores)
