"""Differences in spread: training examples that make one algorithm unstable and not the other.

Margins of models that share a mask and not a seed vary, and how much may depend on the mask. With several models of a
mask that is measured; with one, squared residuals of the datamodels take its place, which also hold what no linear
datamodel fits, so they are labeled 'spread or misfit'.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse.linalg import LinearOperator, eigsh

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.statistics import p_values
from modeldiff_core.statistics.replicates import Replicates

Kind = Literal["spread", "spread or misfit"]
Margins = Float[np.ndarray, "models targets"]
Masks = Bool[np.ndarray, "models train"]

LEAST = 1e-3
"""Least variance within a mask, as a share of the target's median: its logarithm must not run away."""
CONSTANT = 1.0
"""Added to the ratio before the logarithm, which then has little skew where seeds are few."""


@dataclass(frozen=True)
class Spread:
    """How far the models of a mask lie apart: one value a mask and target, on a logarithmic scale, free of its level.

    kind: 'spread' from several models of a mask, 'spread or misfit' from squared residuals of one.
    """

    kind: Kind
    masks: Bool[np.ndarray, "replicates train"]
    values: Float[np.ndarray, "replicates targets"]


def spread(masks: Masks, margins: Margins, predicted: Margins | None = None) -> Spread:
    """Return log(1 + s²/median s²), s² the variance within a mask, or of squared residuals from `predicted`.

    The median over masks takes the target's level away: an algorithm that is noisier everywhere has no other values.

    Raises:
        ConfigError: Where no mask has several models and there are no predictions.

    """
    replicates = Replicates.of_masks(masks)
    counts = np.bincount(np.unique(replicates.groups, return_inverse=True)[1])
    first = np.unique(replicates.groups, return_index=True)[1]
    if (counts > 1).all():
        exact = margins.astype(np.float64)
        mean = replicates.means(exact)
        square = replicates.means(exact**2) - mean**2
        return Spread("spread", masks[first], _levelled(square * (counts / (counts - 1))[:, None]))
    if predicted is None:
        hint = "Train with subsets.seeds=2 or more, or give the datamodels' predictions"
        raise ConfigError("subsets.seeds", "several models of every mask", "one of some", hint)
    residuals = np.square(margins.astype(np.float64) - predicted)
    return Spread("spread or misfit", masks[first], _levelled(replicates.means(residuals)))


def _levelled(square: Float[np.ndarray, "replicates targets"]) -> Float[np.ndarray, "replicates targets"]:
    level = np.median(square, axis=0)
    floor = np.where(level > 0, level, np.maximum(square.mean(0), 1e-30))
    return np.asarray(np.log(CONSTANT + np.maximum(square, 0) / floor))


@dataclass(frozen=True)
class SpreadDifference:
    """The training direction along which A's spread depends on the mask in another way than B's.

    direction: unit vector over the training examples; a positive weight says that A's models lie further apart, against
    B's, where the example is left in, for the targets of positive projections. variance: along it, free of noise in
    expectation. p: chance of so large a variance if masks had the same part in both spreads, or by example, of so large
    a variance or so large a part of one example. p_of_variance: of the variance alone.
    """

    kind: Kind
    direction: Float[np.ndarray, " train"]
    projections: Float[np.ndarray, " targets"]
    variance: float
    p: float
    p_of_variance: float


def spread_difference(
    a: Spread, b: Spread, *, draws: int = 99, seed: int = 0, by_example: bool = False
) -> SpreadDifference:
    """Return the leading direction of the difference of A's and B's spread on the same masks.

    z = A's values − B's on each mask. θ^(h) are its differences in means between masks with and without an example, on
    two disjoint halves of the masks; the direction is the leading eigenvector of (θ^(0)ᵀθ^(1) + θ^(1)ᵀθ^(0))/2, whose
    noise cancels in expectation. The null puts the rows of z, all targets together, to the masks of others of their
    half: then no example has a part in it, whatever z's distribution.

    A variance is large where many examples have a part. Noise of all examples is in it, so that it hides the part of a
    few: of five noisy labels among 500 the direction knew all (AUC .97 to .99) where its variance was no larger than
    chance (benchmarks/spread.py). With `by_example` the largest squared length over targets of an example's row, (θ^(0)
    + θ^(1))/2, is tested on the same draws, and p is that of the smaller of both p (Westfall and Young).

    Args:
        a: Spread of A's models.
        b: Of B's.
        draws: Of the null.
        seed: Of the draws.
        by_example: Test the largest row, too.

    Raises:
        ConfigError: For spreads on different masks, or with fewer than 8 masks.

    """
    if a.masks.shape != b.masks.shape or not np.array_equal(a.masks, b.masks):
        raise ConfigError("subsets.paired", "the same masks for A and B", "others", "Spreads are compared mask by mask")
    if len(a.masks) < 8:
        raise ConfigError("subsets.models", "at least 8 masks", len(a.masks))
    z = a.values - b.values
    rng = generator("spread", seed)
    halves = [np.arange(len(z)) % 2 == half for half in (0, 1)]
    contrasts = [_contrast(a.masks[rows]) for rows in halves]

    def leading(parts: list[Float[np.ndarray, "replicates targets"]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first, second = (contrast @ part for contrast, part in zip(contrasts, parts, strict=True))  # train × targets
        value, vector = _leading(first, second)
        row = float(np.square((first + second) / 2).sum(1).max())
        return np.array([value, row] if by_example else [value]), vector, (first + second).T @ vector / 2

    own = [z[rows] for rows in halves]
    values, direction, projections = leading(own)
    null = np.stack([leading([part[rng.permutation(len(part))] for part in own])[0] for _ in range(draws)])
    kind: Kind = "spread" if a.kind == b.kind == "spread" else "spread or misfit"
    if abs(projections.min()) > projections.max():
        direction, projections = -direction, -projections
    alone = smallest_p(values[:1], null[:, :1])
    return SpreadDifference(kind, direction, projections, float(values[0]), smallest_p(values, null), alone)


def smallest_p(values: Float[np.ndarray, " statistics"], null: Float[np.ndarray, "draws statistics"]) -> float:
    """Return the p of the smallest p of several statistics against draws of all of them together.

    The p of a statistic is the share of draws, the sample among them, that reach it. So each draw has a smallest p,
    too; the share of those that are as small is returned. Of one statistic that is its p.
    """
    if len(values) == 1:
        return float(p_values(values, null[:, 0])[0])
    together = np.vstack([values, null])
    smallest = (together[:, None] <= together[None]).mean(1).min(1)
    return float((smallest <= smallest[0] + 1e-12).mean())


def _contrast(masks: Bool[np.ndarray, "replicates train"]) -> Float[np.ndarray, "train replicates"]:
    """Return the operator from values of masks to differences in means with and without each example."""
    inside = masks.astype(np.float64)
    with_it = np.maximum(inside.sum(0), 1)
    without = np.maximum((1 - inside).sum(0), 1)
    return np.asarray((inside / with_it - (1 - inside) / without).T)


def _leading(
    first: Float[np.ndarray, "train targets"], second: Float[np.ndarray, "train targets"]
) -> tuple[float, np.ndarray]:
    """Return the largest eigenvalue of the symmetrized product over targets, and its unit eigenvector over examples."""
    train = len(first)
    if not (first.any() and second.any()):  # A's and B's models are the same
        return 0.0, np.full(train, train**-0.5)

    def product(vector: Float[np.ndarray, " train"]) -> Float[np.ndarray, " train"]:
        return np.asarray(first @ (second.T @ vector) + second @ (first.T @ vector)) / 2

    start = np.random.default_rng(0).normal(size=train)
    operator = LinearOperator((train, train), matvec=product, dtype=np.float64)
    values, vectors = eigsh(operator, k=1, which="LA", v0=start, tol=1e-6)
    return float(values[0]), np.asarray(vectors[:, 0])
