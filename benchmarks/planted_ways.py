"""Ways to compare two algorithms' margins in benchmarks/planted.py: an estimator and a method, such as 'ridge-pca'.

All use the platform's cross-fitting and its null of exchanges; with the suffix '-parts' ('ridge-pca-parts') the null of
disjoint parts; with '-raw' ('ridge-pca-raw') rows keep their lengths before residuals are taken, as in the public
package. Ridge has one penalty for all targets, so that a refit is one product with a cached matrix that depends on the
masks alone.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.comparison import (
    Method,
    Pairs,
    common_fits,
    part_differences,
    permuted_differences,
    residual_crossfit,
    residual_pca,
)
from modeldiff_core.datamodels import fit_lasso, fit_ridge
from modeldiff_core.datamodels.lasso import Lasso
from modeldiff_core.datamodels.protocol import Counts, Refit
from modeldiff_core.statistics import holm, p_values

COMPONENTS, PERMUTATIONS = 8, 24


@dataclass(frozen=True)
class Margins:
    """One algorithm's masks and margins."""

    masks: Bool[np.ndarray, "models train"]
    margins: Float[np.ndarray, "models targets"]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a comparison.

    Attributes:
        difference: Differences of variance of both sides, A−B and then B−A.
        p: Their p-values.
        p_adjusted: Their p-values after Holm over both sides.
        stability: Stability of both sides' directions.
        directions: Directions of side A−B.
        projections: Projections of targets on them.
        study_p: p of the largest difference against the largest of each permutation; uniform where nothing differs.
        noise: Standard deviation of the null.
    """

    difference: Float[np.ndarray, "sides components"]
    p: Float[np.ndarray, "sides components"]
    p_adjusted: Float[np.ndarray, "sides components"]
    stability: Float[np.ndarray, "sides components"]
    directions: Float[np.ndarray, "components train"]
    projections: Float[np.ndarray, "targets components"]
    study_p: float
    noise: float


class CachedRidge:
    """Refits by ridge at one penalty: weights = (G + λI)⁻¹(X − x̄)ᵀ/m · Y, with the matrix cached for each mask set."""

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty
        self.cache: dict[bytes, np.ndarray] = {}

    def __call__(
        self,
        masks: Bool[np.ndarray, "models train"],
        margins: Float[np.ndarray, "models targets"],
        counts: Counts | None = None,
    ) -> Float[np.ndarray, "targets train"]:
        name = np.packbits(masks).tobytes()
        if name not in self.cache:
            x = masks.astype(np.float64)
            x -= x.mean(0)
            gram = x.T @ x / len(x) + self.penalty * np.eye(x.shape[1])
            solved = np.linalg.solve(gram, x.T / len(x)).astype(np.float32)
            if len(self.cache) >= 8:
                self.cache.pop(next(iter(self.cache)))
            self.cache[name] = solved
        return np.ascontiguousarray((self.cache[name] @ margins).T)


def compare(a: Margins, b: Margins, way: str) -> Outcome:
    """Return directions of both sides from all models, their cross-fitted differences, and p from the null."""
    estimator, method, *options = way.split("-")
    assert method in ("pca", "crossfit")
    assert set(options) <= {"parts", "raw"}
    kind: Method = "pca" if method == "pca" else "crossfit"
    normalize = "raw" not in options
    rows = [slice(h, None, 2) for h in (0, 1)]
    refits, whole = _refits(a, b, rows, estimator)
    halves = [
        Pairs(a.masks[r], b.masks[r], a.margins[r], b.margins[r], refit) for r, refit in zip(rows, refits, strict=True)
    ]
    pair = (halves[0], halves[1])
    common = common_fits(pair, method=kind)
    null_differences = part_differences if "parts" in options else permuted_differences
    null = null_differences(pair, COMPONENTS, range(PERMUTATIONS), 0, method=kind, normalize=normalize)
    theta = {"a": (whole(a.masks, a.margins, None), common.a), "b": (whole(b.masks, b.margins, None), common.b)}
    fits, forward = [], None
    for first, second in (("a", "b"), ("b", "a")):
        (all_one, one), (all_other, other) = theta[first], theta[second]
        if kind == "pca":
            side = residual_pca(all_one, all_other, COMPONENTS, normalize=normalize)
        else:
            side = residual_crossfit(one, other, COMPONENTS, normalize=normalize)
        forward = side if forward is None else forward
        fits.append(common.compare(COMPONENTS, side.directions, reverse=first == "b", normalize=normalize))
    assert forward is not None
    difference = np.stack([fit.difference for fit in fits])
    p = p_values(difference.ravel(), null.ravel())
    return Outcome(
        difference,
        p.reshape(difference.shape),
        holm(p).reshape(difference.shape),
        np.stack([fit.stability for fit in fits]),
        forward.directions,
        forward.projections,
        float(p_values(np.array([difference.max()]), null.max((1, 2)))[0]),
        float(null.std()),
    )


def _refits(a: Margins, b: Margins, rows: list[slice], estimator: str) -> tuple[list[Refit], Refit]:
    """Return the refits of both halves, and the refit of all models."""
    if estimator == "ridge":
        refit = common_ridge(a, b)
        return [refit, refit], refit
    assert estimator == "lasso"
    settings = Lasso(n_lambdas=12, gap_tolerance=1e-2)
    halves = []
    for part in (*rows, slice(None)):
        fits = [fit_lasso(one.masks[part], one.margins[part], n_lambdas=12, gap_tolerance=1e-2) for one in (a, b)]
        halves.append(settings.common(*fits))
    return halves[:2], halves[2]


def common_ridge(a: Margins, b: Margins) -> CachedRidge:
    """Return ridge at the geometric mean of the penalties that suit A's and B's targets."""
    chosen = [fit_ridge(one.masks, one.margins, penalties=(0.03, 0.1, 0.3, 1.0)).lambdas for one in (a, b)]
    return CachedRidge(float(np.exp(np.mean(np.log(chosen)))))
