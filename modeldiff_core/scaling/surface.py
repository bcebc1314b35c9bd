"""IsoFLOP surfaces: the losses of one budget as a polynomial in log size and log sparsity, without any law."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.scaling.intervals import Intervals, intervals
from modeldiff_core.scaling.law import cells_of
from modeldiff_core.scaling.optima import FINE, Optima, Window, lowest
from modeldiff_core.scaling.runs import Runs

FOLDS = 8
DEGREES = tuple(product((1, 2, 3, 4), (1, 2, 3, 4), (0, 1, 2)))
"""Degrees in n, in s and in their product that cross-validation chooses from (the paper tries 0 to 4)."""
LEAST_CELLS = 8
"""Cells of a budget below which it gets no surface."""


@dataclass(frozen=True)
class Surface:
    """L = d + Σ_{i≤p} a_i·n^i + Σ_{i≤q} b_i·s^i + Σ_{i≤r} c_i·(n·s)^i for one budget.

    n and s = −ln(1 − S) are scaled to −1..1 over the runs.

    Attributes:
        degrees: p, q and r, chosen by cross-validation over cells.
        window: Where the runs were.
        coefficients: Of the fit and of the draws of its bootstrap, in the order of the sums.
        error: Cross-validated RMSE in nats.
        correlation: Pearson's, of held-out losses with their predictions (the paper's check).
        runs: How many there were.

    """

    degrees: tuple[int, int, int]
    window: Window
    coefficients: Float[np.ndarray, "laws coefficients"]
    error: float
    correlation: float
    runs: int

    def losses(
        self, parameters: Float[np.ndarray, " points"], sparsity: Float[np.ndarray, " points"]
    ) -> Float[np.ndarray, "laws points"]:
        """Return the losses of the fit and its draws."""
        s = -np.log1p(-sparsity)
        return np.asarray(self.coefficients @ _columns(np.log(parameters), s, self.degrees, self.window).T)

    def best_sparsity(self, parameters: Float[np.ndarray, " points"]) -> Optima:
        """Return S* at sizes, within the sparsities of the runs; a polynomial is not followed beyond them.

        A draw whose optimum lies on an edge counts there, and an optimum on an edge is flagged as censored.
        """
        low, high = self.window.sparsity
        places = np.linspace(low, high, FINE)
        losses = np.stack(
            [
                self.coefficients @ _columns(np.log(size) + 0 * places, places, self.degrees, self.window).T
                for size in parameters
            ],
            1,
        )
        found, _ = lowest(places, losses)
        found, step = np.clip(found, low, high), (high - low) / (FINE - 1)
        edge = np.where(found[0] <= low + step, -1.0, np.where(found[0] >= high - step, 1.0, 0.0))
        best = intervals(found)
        values = [-np.expm1(-one) for one in (best.value, best.low, best.high)]
        return Optima(Intervals(*values), intervals(losses.min(2)), edge)


def fit_surface(runs: Runs, draws: int = 100, seed: int = 0, degrees: tuple[int, int, int] | None = None) -> Surface:
    """Fit a surface to the runs of one budget by least squares, degrees by cross-validation over cells.

    The bootstrap adds residuals, freed of their leverage, with a random sign for each cell.

    Args:
        runs: Of one budget.
        draws: Fits of the bootstrap.
        seed: Of folds and signs.
        degrees: p, q and r; None to choose them.

    Raises:
        ConfigError: For fewer than LEAST_CELLS cells.

    """
    cells = cells_of(runs)
    count = int(cells.max()) + 1
    if count < LEAST_CELLS:
        raise ConfigError("runs", f"{LEAST_CELLS} cells of a budget for its surface", count)
    window, n, s = Window.of(runs), np.log(runs.parameters), -np.log1p(-runs.sparsity)
    folds = generator("folds", seed).permutation(count)[cells] % FOLDS
    sizes, sparsities = (len(np.unique(np.round(values, 4))) for values in (n, s))
    most = count * (FOLDS - 1) // FOLDS - 3
    known = [d for d in DEGREES if d[0] < sizes and d[1] < sparsities and sum(d) <= most]
    known = [degrees] if degrees else known or [(min(1, sizes - 1), min(1, sparsities - 1), 0)]
    guesses = {degrees: _held_out(_columns(n, s, degrees, window), runs.loss, folds) for degrees in known}
    errors = {degrees: float(np.sqrt(np.mean((guess - runs.loss) ** 2))) for degrees, guess in guesses.items()}
    degrees = min(known, key=lambda one: (errors[one], sum(one)))
    columns = _columns(n, s, degrees, window)
    basis, triangle = np.linalg.qr(columns)
    fitted = basis @ (basis.T @ runs.loss)
    freed = (runs.loss - fitted) / np.sqrt(np.maximum(1 - np.square(basis).sum(1), 0.05))
    signs = generator("surface", seed).choice([-1.0, 1.0], size=(draws, count))[:, cells]
    drawn = np.concatenate([runs.loss[None], fitted + signs * freed])
    solved = np.linalg.solve(triangle, basis.T @ drawn.T).T
    varied = guesses[degrees].std() > 0 and runs.loss.std() > 0
    correlation = float(np.corrcoef(guesses[degrees], runs.loss)[0, 1]) if varied else 0.0
    return Surface(degrees, window, solved, errors[degrees], correlation, len(runs))


def _columns(
    n: Float[np.ndarray, " points"], s: Float[np.ndarray, " points"], degrees: tuple[int, int, int], window: Window
) -> Float[np.ndarray, "points coefficients"]:
    x, y = (_scaled(values, within) for values, within in ((n, window.size), (s, window.sparsity)))
    powers = [values**i for values, most in zip((x, y, x * y), degrees, strict=True) for i in range(1, most + 1)]
    return np.stack([np.ones_like(x), *powers], 1)


def _scaled(values: Float[np.ndarray, " points"], within: tuple[float, float]) -> Float[np.ndarray, " points"]:
    low, high = within
    return np.asarray((2 * values - low - high) / max(high - low, 1e-9))


def _held_out(
    columns: Float[np.ndarray, "runs coefficients"], loss: Float[np.ndarray, " runs"], folds: Int[np.ndarray, " runs"]
) -> Float[np.ndarray, " runs"]:
    """Return predictions of each run by a fit without its fold."""
    found = np.empty(len(loss))
    for fold in np.unique(folds):
        out = folds == fold
        found[out] = columns[out] @ np.linalg.lstsq(columns[~out], loss[~out], rcond=None)[0]
    return found
