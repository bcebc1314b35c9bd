"""Levenberg and Marquardt's method for many fits of one law at once: starts, draws of a bootstrap, profiles."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.scaling.forms import LawForm

DAMPED, TOO_DAMPED = 1e-3, 1e9
"""Damping of the first step, in units of the curvature along each parameter, and that at which a fit is at rest."""
SCALES = (-14.0, 9.0)
"""Limits of ln w of terms, in nats at the center of the runs."""


@dataclass(frozen=True)
class Problem:
    """Runs that a law is fitted to: minimize the mean of Huber's ρ(ln L(run) − ln y(run)).

    ρ(r) = r²/2 up to |r| = `bend`, bend·(|r| − bend/2) beyond.

    Attributes:
        form: The law.
        design: What each exponent multiplies in each term at each run.
        bend: Where Huber's loss bends; infinite for least squares.
        scales: Least and largest ln w of terms.

    """

    form: LawForm
    design: Float[np.ndarray, "exponents terms runs"]
    bend: float
    scales: tuple[float, float] = SCALES

    def minimize(
        self,
        logs: Float[np.ndarray, "draws runs"],
        starts: Float[np.ndarray, "draws parameters"],
        iterations: int,
        free: Bool[np.ndarray, "draws parameters"] | None = None,
    ) -> tuple[Float[np.ndarray, "draws parameters"], Float[np.ndarray, " draws"]]:
        """Return the parameters at which each draw's descent ends, and the objective there.

        Args:
            logs: ln y of each draw.
            starts: Parameters from which each descent starts.
            iterations: Most steps of a descent.
            free: Parameters of each draw that may move, all by default.

        """
        parameters, (low, high) = starts.copy(), self.limits()
        moves = np.ones(starts.shape, bool) if free is None else free
        parameters = np.where(moves, np.clip(parameters, low, high), parameters)
        objective, damping = self.objective(parameters, logs), np.full(len(starts), DAMPED)
        going = np.arange(len(starts))
        for _ in range(iterations):
            here, may = parameters[going], moves[going]
            step = self._steps(here, logs[going], damping[going], may)
            tried = np.where(may, np.clip(here + step, low, high), here)
            reached = self.objective(tried, logs[going])
            better = reached < objective[going]
            gained = np.where(better, objective[going] - reached, np.inf)
            rest = better & (gained <= 1e-9 * reached + 1e-24)
            parameters[going[better]] = tried[better]
            objective[going[better]] = reached[better]
            damping[going] = np.where(better, np.maximum(damping[going] / 5, 1e-12), damping[going] * 4)
            going = going[~rest & (damping[going] < TOO_DAMPED)]
            if not len(going):
                break
        return parameters, objective

    def limits(self) -> tuple[Float[np.ndarray, " parameters"], Float[np.ndarray, " parameters"]]:
        """Return the least and the largest value of each parameter."""
        scales = [self.scales if term.kind == "positive" else (-100.0, 100.0) for term in self.form.terms]
        pairs = [*scales, *(self.form.limits[name] for name in self.form.exponents), (-100.0, 100.0)]
        low, high = np.array(pairs).T
        return low, high

    def objective(
        self, parameters: Float[np.ndarray, "draws parameters"], logs: Float[np.ndarray, "draws runs"]
    ) -> Float[np.ndarray, " draws"]:
        """Return the mean of Huber's loss of each draw."""
        size = np.abs(np.log(self.form.losses(parameters, self.design)) - logs)
        within = np.minimum(size, self.bend)
        return np.asarray((within * (size - within / 2)).mean(1))

    def _steps(
        self,
        parameters: Float[np.ndarray, "draws parameters"],
        logs: Float[np.ndarray, "draws runs"],
        damping: Float[np.ndarray, " draws"],
        free: Bool[np.ndarray, "draws parameters"],
    ) -> Float[np.ndarray, "draws parameters"]:
        losses, slopes = self.form.slopes(parameters, self.design)
        residuals = np.log(losses) - logs
        weights = np.minimum(1.0, self.bend / np.maximum(np.abs(residuals), 1e-300))
        root = np.sqrt(weights)
        slopes *= (root / losses)[:, :, None] * free[:, None, :]
        curvature = slopes.transpose(0, 2, 1) @ slopes
        gradient = (slopes.transpose(0, 2, 1) @ (root * residuals)[:, :, None])[:, :, 0]
        scale = np.sqrt(np.maximum(np.diagonal(curvature, axis1=1, axis2=2), 1e-30))
        curvature /= scale[:, :, None] * scale[:, None, :]
        curvature += (damping[:, None] + 1e-14)[:, :, None] * np.eye(free.shape[1])
        solved = np.linalg.solve(curvature, (gradient / scale)[:, :, None])[:, :, 0]
        return np.asarray(-solved / scale)


def first_guesses(
    problem: Problem, logs: Float[np.ndarray, " runs"], most: int
) -> Float[np.ndarray, "starts parameters"]:
    """Return the `most` best starts: exponents of the form's grid, scales and constant by least squares in L/y − 1."""
    form, runs = problem.form, len(logs)
    axes = np.meshgrid(*(np.array(form.starts[name]) for name in form.exponents), indexing="ij")
    exponents = np.stack([axis.ravel() for axis in axes], 1)
    terms, bent = len(form.terms), np.array([term.kind != "positive" for term in form.terms])
    rows = len(exponents)
    units = np.concatenate([np.tile(bent.astype(float), (rows, 1)), exponents, np.zeros((rows, 1))], 1)
    _, slopes = form.slopes(units, problem.design)
    columns = slopes[:, :, [*range(terms), -1]] * np.exp(-logs)[None, :, None]
    squares = columns.transpose(0, 2, 1) @ columns / runs
    target = columns.mean(1)
    ridge = 1e-9 * np.trace(squares, axis1=1, axis2=2)[:, None, None] * np.eye(terms + 1)
    solved = np.linalg.solve(squares + ridge, target[:, :, None])[:, :, 0]
    scales = solved[:, :terms]
    positive = np.log(np.maximum(scales, 1e-3))
    starts = np.concatenate([np.where(bent, scales, positive), exponents, solved[:, terms:]], 1)
    objective = problem.objective(starts, np.broadcast_to(logs, (len(starts), runs)))
    return np.asarray(starts[np.argsort(objective, kind="stable")[:most]])
