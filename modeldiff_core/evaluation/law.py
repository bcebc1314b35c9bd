"""The law that a learning curve follows, and its predictions for numbers of models that were not trained."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import least_squares

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator

SKIPPED = 2
"""Initial points that are always excluded from the fit: with so few models the lasso is not yet informative."""
LEAST_POINTS = SKIPPED + 4
"""Minimum of points that a curve must have for the law's three parameters to be fitted."""
FARTHEST = 1000.0
"""Multiple of a curve's largest number of models up to which the law is extrapolated."""


@dataclass(frozen=True)
class Law:
    """The law score(m) = plateau − missing·(m/first)^(−rate) after m fitted models.

    Attributes:
        plateau: Limit of the score for infinitely many models, in [−1, 1].
        missing: Plateau minus the score at `first`.
        rate: Exponent.
        first: Number of models at the first fitted point.
    """

    plateau: float
    missing: float
    rate: float
    first: int

    def score(self, models: float) -> float:
        """Return the score after `models` fitted models."""
        return self.plateau - self.missing * math.pow(models / self.first, -self.rate)

    def models(self, score: float) -> float:
        """Return the number of fitted models at which the score is reached; infinity if it never is."""
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

    Attributes:
        models: Number of fitted models at each point, ascending.
        scores: Linear datamodeling score of each target.
    """

    models: Int[np.ndarray, " points"]
    scores: Float[np.ndarray, "points targets"]

    @property
    def means(self) -> Float[np.ndarray, " points"]:
        """The mean score of each point."""
        return np.asarray(self.scores.mean(1))


@dataclass(frozen=True)
class FittedCurve:
    """The law of a learning curve with its uncertainty over targets.

    Attributes:
        law: The law of all targets.
        redrawn: Laws of bootstrap draws of the targets.
        reach: Largest number of models up to which the law is extrapolated.
    """

    law: Law
    redrawn: tuple[Law, ...]
    reach: float

    @classmethod
    def of(cls, curve: LearningCurve, *, draws: int = 100, seed: int = 0) -> "FittedCurve":
        """Fit the law by least squares; raise ConfigError for fewer than LEAST_POINTS points."""
        if len(curve.models) < LEAST_POINTS:
            raise ConfigError(
                "subsets.models",
                f"a learning curve of at least {LEAST_POINTS} points",
                len(curve.models),
                "Train more models, or lower subsets.rounds.growth or subsets.evaluation_models",
            )
        rng, n = generator("curve", seed), curve.scores.shape[1]
        laws = [fit_law(LearningCurve(curve.models, curve.scores[:, rng.integers(n, size=n)])) for _ in range(draws)]
        return cls(fit_law(curve), tuple(laws), FARTHEST * float(curve.models[-1]))

    def score(self, models: float) -> Estimate:
        """Return the score after `models` fitted models."""
        return self._estimate([law.score(models) for law in (self.law, *self.redrawn)])

    @property
    def plateau(self) -> Estimate:
        """The score that no number of models exceeds."""
        return self._estimate([law.plateau for law in (self.law, *self.redrawn)])

    def models(self, score: float) -> Estimate:
        """Return the number of fitted models at which a score is reached; infinite if never, or not within `reach`."""
        needed = [law.models(score) for law in (self.law, *self.redrawn)]
        return self._estimate([models if models <= self.reach else math.inf for models in needed])

    def _estimate(self, values: list[float]) -> Estimate:
        ordered = sorted(values[1:])
        last = len(ordered) - 1
        return Estimate(values[0], ordered[round(0.025 * last)], ordered[round(0.975 * last)])


def fit_law(curve: LearningCurve) -> Law:
    """Return the law of least squared error in the mean scores.

    The first third of the points, at least SKIPPED, is left out: the law describes the end of a curve, and is used
    there.
    """
    first = max(SKIPPED, len(curve.models) // 3)
    models, scores = curve.models[first:], curve.means[first:]
    ratio = models / models[0]
    spread = max(float(scores.max() - scores.min()), 1e-3)
    start = [min(float(scores.max()) + spread / 4, 0.99), spread, 0.5]
    bounds = ([-1.0, 0.0, 0.05], [1.0, 2.0, 5.0])
    solution = least_squares(_departure, start, bounds=bounds, x_scale=[0.1, 0.1, 0.5], args=(ratio, scores))
    plateau, missing, rate = (float(value) for value in solution.x)
    return Law(plateau, missing, rate, int(models[0]))


def _departure(
    p: Float[np.ndarray, " parameters"], ratio: Float[np.ndarray, " points"], scores: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    return np.asarray(p[0] - p[1] * ratio ** -p[2] - scores)
