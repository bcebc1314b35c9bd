"""The lasso of other libraries, target by target, with the same path of penalties, choice and refit."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.linear_model import lasso_path

from benchmarks.regression_fit import GAP, N_LAMBDAS, RATIO
from modeldiff_core.datamodels import Datamodels
from modeldiff_core.datamodels.moments import validation_split
from modeldiff_core.statistics.replicates import Replicates

CORES = 2
PATIENCE = 3
"""Penalties without a smaller error after which a path with our shortcuts ends."""


def relative_gap(x: np.ndarray, y: np.ndarray, coefficients: np.ndarray, lambdas: np.ndarray) -> np.ndarray:
    """Return (P − D)/P of each column of coefficients, from centered data in float64."""
    residual = y[:, None] - x @ coefficients
    primal = np.square(residual).mean(0) / 2 + lambdas * np.abs(coefficients).sum(0)
    slope = np.abs(x.T @ residual).max(0) / len(x)
    s = np.minimum(1, lambdas / np.maximum(slope, 1e-300))
    dual = s * (residual * y[:, None]).mean(0) - s**2 * np.square(residual).mean(0) / 2
    return (primal - dual) / primal


@dataclass(frozen=True)
class Centered:
    """A set of models in the form that other libraries take."""

    x: np.ndarray
    gram: np.ndarray
    mask_mean: np.ndarray

    @classmethod
    def of(cls, masks: np.ndarray) -> "Centered":
        """Center masks in float64, stored by columns, and make their Gram matrix."""
        mean = masks.mean(0)
        x = np.asfortranarray(masks - mean)
        return cls(x, np.ascontiguousarray(x.T @ x), mean)


Path20 = Callable[[Centered, np.ndarray, np.ndarray, np.ndarray | None, float], np.ndarray]


def by_scikit_learn(
    data: Centered, y: np.ndarray, lambdas: np.ndarray, start: np.ndarray | None, tolerance: float
) -> np.ndarray:
    """Fit by coordinate descent on the precomputed Gram matrix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, coefficients, _ = lasso_path(
            data.x,
            y,
            alphas=lambdas,
            precompute=data.gram,
            Xy=data.x.T @ y,
            coef_init=start,
            tol=tolerance,
            max_iter=100_000,
            check_input=False,
        )
    return np.asarray(coefficients)


def by_celer(
    data: Centered, y: np.ndarray, lambdas: np.ndarray, start: np.ndarray | None, tolerance: float
) -> np.ndarray:
    """Fit by working sets and dual extrapolation."""
    from celer import celer_path

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, coefficients, *_ = celer_path(
            data.x, y, "lasso", alphas=lambdas, coef_init=start, tol=tolerance, max_iter=100
        )
    return np.asarray(coefficients)


def by_skglm(
    data: Centered, y: np.ndarray, lambdas: np.ndarray, start: np.ndarray | None, tolerance: float
) -> np.ndarray:
    """Fit by compiled coordinate descent on one Gram matrix; skglm's solver would compute that again for each λ."""
    from skglm.penalties import L1
    from skglm.solvers.gram_cd import _gram_cd_epoch
    from skglm.utils.jit_compilation import compiled_clone

    models = len(y)
    gram, slope = data.gram / models if data.gram[0, 0] > 1 else data.gram, data.x.T @ y / models
    w = np.zeros(len(slope)) if start is None else start.copy()
    gradient = gram @ w - slope
    out = []
    for penalty in lambdas:
        compiled = compiled_clone(L1(penalty))
        while _gram_cd_epoch(gram, w, gradient, compiled, False).max() > tolerance * penalty:
            pass
        out.append(w.copy())
    return np.stack(out, 1)


OTHERS: dict[str, tuple[Path20, tuple[float, ...]]] = {
    "scikit-learn": (by_scikit_learn, (1e-4, 6e-5, 4e-5, 3e-5, 2e-5, 1e-5)),
    "celer": (by_celer, (3e-4, 1e-4, 3e-5, 1e-5)),
    "skglm": (by_skglm, (3e-3, 1e-3, 6e-4, 3e-4, 1e-4)),
}
"""Path of each library, and tolerances in its terms, of which the first that reaches the gap is used."""


@dataclass(frozen=True)
class Case:
    """Targets that another library fits.

    Attributes:
        folder: Folder of the data.
        library: Name of the library.
        targets: The targets.
        tolerance: Its tolerance.
        loose: Tolerance of the path if it uses our shortcuts: the path then ends after PATIENCE λ without a smaller
            error; None for the whole path.
    """

    folder: str
    library: str
    targets: tuple[int, ...]
    tolerance: float
    loose: float | None = None


def solve_case(case: Case) -> tuple[float, float]:
    """Return the seconds of a library for these targets, and the largest relative gap of paths and refits."""
    masks, margins = (np.load(f"{case.folder}/{name}.npy", mmap_mode="r") for name in ("masks", "margins"))
    rows, validation = validation_split(Replicates.single(len(masks)), 0.1, 0)
    part, everything = _CENTERED.setdefault(case.folder, (Centered.of(masks[rows]), Centered.of(masks)))
    solve, tolerances = OTHERS[case.library][0], case.tolerance
    if case.library == "skglm" and not _WARM:
        solve(part, np.asarray(margins[rows, 0], float), np.array([1.0]), None, 1.0)
    _WARM.add(case.library)
    seconds, worst = 0.0, 0.0
    for target in case.targets:
        y = np.asarray(margins[:, target], float)
        fitted, whole = y[rows] - y[rows].mean(), y - y.mean()
        top = np.abs(part.x.T @ fitted).max() / len(rows)
        lambdas = top * RATIO ** (np.arange(N_LAMBDAS) / (N_LAMBDAS - 1))
        errors = _Validation(masks, y, rows, validation, part.mask_mean)
        began = perf_counter()
        if case.loose is None:
            path = solve(part, fitted, lambdas, None, tolerances)
            best = int(errors(path).argmin())
        else:
            path, best = _early(partial(solve, part, fitted, tolerance=case.loose), lambdas, errors)
        final = solve(everything, whole, lambdas[best : best + 1], path[:, best].copy(), tolerances)
        seconds += perf_counter() - began
        gaps = [relative_gap(everything.x, whole, final, lambdas[best : best + 1])]
        if case.loose is None:
            gaps.append(relative_gap(part.x, fitted, path, lambdas))
        worst = max(worst, *(float(gap.max()) for gap in gaps))
    return seconds, worst


_CENTERED: dict[str, tuple[Centered, Centered]] = {}
_WARM: set[str] = set()


@dataclass(frozen=True)
class _Validation:
    """The models that choose a target's penalty; called with coefficients, it returns the error of each column."""

    masks: np.ndarray
    y: np.ndarray
    fitted: np.ndarray
    validation: np.ndarray
    mask_mean: np.ndarray

    def __call__(self, path: np.ndarray) -> np.ndarray:
        centered = self.y[self.validation] - self.y[self.fitted].mean()
        residual = centered[:, None] - (self.masks[self.validation] - self.mask_mean) @ path
        return np.asarray(np.square(residual).mean(0))


def _early(
    solve: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
    lambdas: np.ndarray,
    validation: _Validation,
) -> tuple[np.ndarray, int]:
    """Fit a path λ by λ, ended after PATIENCE of them without a smaller error, and return the best position."""
    columns: list[np.ndarray] = []
    errors: list[float] = []
    start: np.ndarray | None = None
    for k in range(len(lambdas)):
        coefficients = solve(lambdas[k : k + 1], start)
        columns.append(coefficients[:, 0])
        start = coefficients[:, 0].copy()
        errors.append(float(validation(coefficients)[0]))
        if k - int(np.argmin(errors)) >= PATIENCE:
            break
    return np.stack(columns, 1), int(np.argmin(errors))


def objective_excess(masks: np.ndarray, margins: np.ndarray, ours: Datamodels, targets: int) -> float:
    """Return the largest relative excess of our objective over scikit-learn's at a tiny gap, both in float64."""
    data, worst = Centered.of(masks), 0.0
    for target in range(targets):
        y = margins[:, target].astype(float) - margins[:, target].mean(dtype=float)
        penalty = float(ours.lambdas[target])
        best = by_scikit_learn(data, y, np.array([penalty]), None, 1e-8)[:, 0]
        mine, theirs = (
            np.square(y - data.x @ w).mean() / 2 + penalty * np.abs(w).sum()
            for w in (ours.weights[target].astype(float), best)
        )
        worst = max(worst, (mine - theirs) / theirs)
    return worst


def calibrated(pool: Any, folder: str, library: str, tolerances: tuple[float, ...]) -> float:
    """Return the loosest tolerance with which the library reaches the gap for two targets."""
    for tolerance in tolerances:
        if max(gap for _, gap in pool.map(solve_case, [Case(folder, library, (k,), tolerance) for k in (0, 1)])) <= GAP:
            return tolerance
    raise RuntimeError(f"{library} does not reach a gap of {GAP:g}")


def shared_out(pool: Any, case: Case, targets: int) -> tuple[float, float]:
    """Return the seconds of all processes together for `targets` targets, and the largest gap."""
    shares = [Case(case.folder, case.library, case.targets[i::CORES], case.tolerance, case.loose) for i in range(CORES)]
    results = pool.map(solve_case, shares, chunksize=1)
    factor = targets / len(case.targets)
    return max(seconds for seconds, _ in results) * factor, max(gap for _, gap in results)
