"""Laws compared on runs that played no part: the largest sparsity, the largest budget."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.errors import ConfigError
from modeldiff_core.scaling.budgets import budgets_of
from modeldiff_core.scaling.forms import CHINCHILLA, LawForm
from modeldiff_core.scaling.law import Options, Points, fit_law
from modeldiff_core.scaling.runs import Runs

CLOSE = 5e-4
"""Sparsities that differ by less are one level."""
EACH = "Chinchilla at each sparsity"


@dataclass(frozen=True)
class HeldOut:
    """How well a law predicts runs that it was not fitted to.

    Attributes:
        law: Its name.
        held: What was held out, in words.
        runs: How many.
        rmse: Root mean squared error in nats per token; NaN if it could not be fitted.
        bias: Mean error, predicted minus found.
        r2: 1 − squared error / variance of the held-out losses.
        failure: Why it could not be fitted; empty if it could.

    """

    law: str
    held: str
    runs: int
    rmse: float = float("nan")
    bias: float = float("nan")
    r2: float = float("nan")
    failure: str = ""


def levels_of(runs: Runs) -> Float[np.ndarray, " levels"]:
    """Return the sparsities of runs, ascending, those within CLOSE of each other as one."""
    found = np.sort(runs.sparsity)
    first = np.concatenate([[True], np.diff(found) > CLOSE])
    return np.asarray(found[first])


def compare_held_out(runs: Runs, forms: Sequence[LawForm], options: Options | None = None) -> tuple[HeldOut, ...]:
    """Fit each law without the runs of the largest sparsity, then without those of the largest budget.

    Chinchilla's law is also fitted at each sparsity by itself, which only a budget can be held out of. Where the runs
    have one sparsity or one budget, that part is missing from the answer.
    """
    options, found = options or Options(draws=0), list[HeldOut]()
    levels, (budgets, number) = levels_of(runs), budgets_of(runs)
    if len(levels) > 1:
        found += _held(runs, forms, runs.sparsity > levels[-1] - CLOSE, f"S = {levels[-1]:.3g}", options)
    if len(budgets) > 1:
        out, held = number == len(budgets) - 1, f"C = {budgets[-1]:.2g}"
        found += _held(runs, forms, out, held, options)
        found.append(_each_sparsity(runs, levels, out, held, options))
    return tuple(found)


def _held(
    runs: Runs, forms: Sequence[LawForm], out: Bool[np.ndarray, " runs"], held: str, options: Options
) -> list[HeldOut]:
    rows, tested = [], runs.take(out)
    for form in forms:
        try:
            law = fit_law(runs.take(~out), form, options)
        except ConfigError as error:
            rows.append(HeldOut(form.name, held, len(tested), failure=str(error)))
            continue
        rows.append(_scored(form.name, held, law.losses(Points.of(tested))[0], tested.loss))
    return rows


def _each_sparsity(
    runs: Runs, levels: Float[np.ndarray, " levels"], out: Bool[np.ndarray, " runs"], held: str, options: Options
) -> HeldOut:
    predicted, losses = [], []
    for level in levels:
        here = (runs.sparsity >= level) & (runs.sparsity < level + CLOSE)
        if not (here & out).any():
            continue
        try:
            law = fit_law(runs.take(here & ~out), CHINCHILLA, options)
        except ConfigError as error:
            return HeldOut(EACH, held, int(out.sum()), failure=f"S = {level:.3g}: {error}")
        tested = runs.take(here & out)
        predicted.append(law.losses(Points.of(tested))[0])
        losses.append(tested.loss)
    return _scored(EACH, held, np.concatenate(predicted), np.concatenate(losses))


def _scored(law: str, held: str, predicted: Float[np.ndarray, " runs"], loss: Float[np.ndarray, " runs"]) -> HeldOut:
    error = predicted - loss
    squares, variance = float(np.mean(error**2)), float(loss.var())
    r2 = 1 - squares / variance if variance > 0 else float("nan")
    return HeldOut(law, held, len(loss), float(np.sqrt(squares)), float(error.mean()), r2)
