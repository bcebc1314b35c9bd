"""A law fitted to runs: Huber's loss in ln L from many starts, and a bootstrap over cells of runs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.scaling.cost import Cost
from modeldiff_core.scaling.forms import SPARSITY, LawForm, features_of, needs
from modeldiff_core.scaling.intervals import Intervals, intervals
from modeldiff_core.scaling.runs import Runs
from modeldiff_core.scaling.solver import Problem, first_guesses

EFFICIENT = 1.345
"""Where Huber's loss bends in units of the noise: 95 % of the efficiency of least squares under normal noise."""
BEST_STARTS, DESCENT, REFIT = 12, 300, 30
"""Starts that are followed of all combinations; steps of a descent; steps of a refit from the fit."""
SPARE = 2
"""Runs beyond the parameters that a law needs."""


@dataclass(frozen=True)
class Points:
    """Models that were not trained, or not yet: a law predicts their losses.

    Attributes:
        parameters: N. tokens: D. sparsity: S. granularity: G, None where laws do not ask for it.

    """

    parameters: Float[np.ndarray, " points"]
    tokens: Float[np.ndarray, " points"]
    sparsity: Float[np.ndarray, " points"]
    granularity: Float[np.ndarray, " points"] | None = None

    @classmethod
    def of(cls, runs: Runs) -> "Points":
        """Return the models of runs."""
        return cls(runs.parameters, runs.tokens, runs.sparsity, runs.granularity)


@dataclass(frozen=True)
class Options:
    """How a law is fitted.

    Attributes:
        bend: Where Huber's loss bends, in ln L; None for EFFICIENT times the noise (the paper has 1e-3).
        draws: Refits of the bootstrap.
        seed: Seed of the bootstrap.

    """

    bend: float | None = None
    draws: int = 100
    seed: int = 0


@dataclass(frozen=True)
class FittedLaw:
    """A law with the draws of its bootstrap.

    Attributes:
        form: The form.
        center: What was taken from ln N and ln D.
        parameters: Of the fit, in the order of `form.names`.
        draws: Of refits to drawn losses.
        residuals: ln L(run) of the fit minus ln of the run's loss.
        noise: Standard deviation of ln loss about the law, by the residuals' degrees of freedom.
        bend: Where Huber's loss bent.
        cost: What a token costs.

    """

    form: LawForm
    center: tuple[float, float]
    parameters: Float[np.ndarray, " parameters"]
    draws: Float[np.ndarray, "draws parameters"]
    residuals: Float[np.ndarray, " runs"]
    noise: float
    bend: float
    cost: Cost

    @cached_property
    def all(self) -> Float[np.ndarray, "laws parameters"]:
        """The fit, then its draws."""
        return np.concatenate([self.parameters[None], self.draws])

    def losses(self, points: Points) -> Float[np.ndarray, "laws points"]:
        """Return the losses in nats per token that the fit and its draws predict."""
        return self.form.losses(self.all, self.design(points))

    def design(self, points: Points) -> Float[np.ndarray, "exponents terms points"]:
        """Return what each exponent multiplies in each term at points."""
        values = points.parameters, points.tokens, points.sparsity
        return self.form.design(features_of(*values, points.granularity, self.center))

    def predict(self, points: Points) -> Intervals:
        """Return predicted losses with 95 % intervals for the law's loss there, without the noise of one run."""
        return intervals(self.losses(points))


def fit_law(runs: Runs, form: LawForm = SPARSITY, options: Options | None = None) -> FittedLaw:
    """Fit a law: minimize mean ρ(ln L(run) − ln loss(run)) with Huber's ρ.

    The best starts of a grid of exponents are followed by Levenberg and Marquardt's method with the exact Jacobian.
    Where `bend` is not given, least squares comes first and its residuals say how large the noise is. Draws of the
    bootstrap are the fitted law plus residuals, freed of their leverage, with a random sign for each cell of runs (runs
    of the same N, D, S, G are one cell), refitted from the fit.

    Raises:
        ConfigError: For fewer runs than parameters and SPARE more, or a law of what they do not vary.

    """
    options, count = options or Options(), len(form.names)
    cells = cells_of(runs)
    if cells.max() + 1 < count + SPARE:
        hint = "Runs that differ in their seeds alone count once"
        raise ConfigError("runs", f"{count + SPARE} cells for the {count} parameters", int(cells.max()) + 1, hint)
    center = float(np.log(runs.parameters).mean()), float(np.log(runs.tokens).mean())
    features = features_of(runs.parameters, runs.tokens, runs.sparsity, runs.granularity, center)
    needs(form, features)
    design, logs = form.design(features), np.log(runs.loss)
    problem = Problem(form, design, np.inf if options.bend is None else options.bend)
    starts = first_guesses(problem, logs, BEST_STARTS)
    ends, objective = problem.minimize(np.tile(logs, (len(starts), 1)), starts, DESCENT)
    best = ends[np.argmin(objective)][None]
    residuals = np.log(form.losses(best, design))[0] - logs
    if options.bend is None:
        spread = 1.4826 * float(np.median(np.abs(residuals))) * np.sqrt(len(runs) / (len(runs) - count))
        problem = Problem(form, design, max(EFFICIENT * spread, 1e-9))
        best, _ = problem.minimize(logs[None], best, DESCENT)
        residuals = np.log(form.losses(best, design))[0] - logs
    drawn = _drawn(problem, best, residuals, cells, options)
    draws, _ = problem.minimize(logs + drawn, np.repeat(best, options.draws, 0), REFIT)
    noise = float(np.sqrt(np.square(residuals).sum() / max(len(runs) - count, 1)))
    return FittedLaw(form, center, best[0], draws, residuals, noise, problem.bend, Cost.of(runs))


def cells_of(runs: Runs) -> np.ndarray:
    """Return the number of each run's cell: runs of the same N, D, S and G (to 4 digits) are one."""
    columns = [runs.parameters, runs.tokens, 1 - runs.sparsity]
    columns += [] if runs.granularity is None else [runs.granularity]
    rounded = np.round(np.log(np.stack(columns, 1)), 4)
    return np.unique(rounded, axis=0, return_inverse=True)[1].ravel()


def _drawn(
    problem: Problem,
    best: Float[np.ndarray, "one parameters"],
    residuals: Float[np.ndarray, " runs"],
    cells: np.ndarray,
    options: Options,
) -> Float[np.ndarray, "draws runs"]:
    """Return what each draw adds to ln loss: residuals freed of their leverage with other signs.

    residual/(1 − leverage) is what the run would have without its own pull on the fit; the mean of its square is the
    noise's variance or more.
    """
    losses, slopes = problem.form.slopes(best, problem.design)
    basis, _ = np.linalg.qr(slopes[0] / losses[0][:, None])
    freed = residuals / np.maximum(1 - np.square(basis).sum(1), 0.05)
    signs = generator("bootstrap", options.seed).choice([-1.0, 1.0], size=(options.draws, int(cells.max()) + 1))
    return np.asarray(residuals + signs[:, cells] * freed)
