"""What runs and the laws fitted to them answer, as plain values: coefficients, optima, predictions, advice."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.experiments.scaling.settings import FitsConfig
from modeldiff_core.scaling import Runs
from modeldiff_core.scaling.advice import Cells, Target, advise
from modeldiff_core.scaling.budgets import budgets_of
from modeldiff_core.scaling.coefficients import coefficients
from modeldiff_core.scaling.held_out import compare_held_out, levels_of
from modeldiff_core.scaling.law import FittedLaw, Options, cells_of
from modeldiff_core.scaling.optima import Optima, Window, best_size, best_sparsity
from modeldiff_core.scaling.surface import LEAST_CELLS, fit_surface
from modeldiff_core.scaling.trends import trends

SIZES = 5
"""Sizes at which best sparsities are told, from the smallest to the largest."""
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Shares of the widths of answers for which the cost is told, down to the one that is asked for."""
BEYOND = 3.0
"""The new budget in units of the largest."""


def answers(runs: Runs, laws: Sequence[FittedLaw], asked: FitsConfig) -> dict[str, Any]:
    """Return everything that a page shows, as JSON with stable keys; numbers that are not finite are null.

    Args:
        runs: Of the best learning rates.
        laws: Fitted to the runs; the answers rest on the first.
        asked: What is asked.

    """
    law, window, (budgets, number) = laws[0], Window.of(runs), budgets_of(runs)
    sizes, levels = np.exp(np.linspace(*window.size, SIZES)), levels_of(runs)
    new = asked.new_budget or BEYOND * float(budgets[-1])
    found: dict[str, Any] = {
        "runs": {
            "count": len(runs),
            "cells": int(cells_of(runs).max()) + 1,
            "notes": list(runs.notes),
            "parameters": [float(runs.parameters.min()), float(runs.parameters.max())],
            "sparsities": levels.tolist(),
            "budgets": [{"flops": float(c), "runs": int((number == at).sum())} for at, c in enumerate(budgets)],
        },
        "cost": {name: getattr(law.cost, name) for name in ("factor", "power", "sparse", "error")},
        "laws": [_law(one, runs) for one in laws],
        "best_sparsity": [row for c in budgets for row in _sparsities(law, sizes, float(c), window)],
        "best_size": [row for c in budgets for row in _sizes(law, levels, float(c), window)],
        "new_budget": {"flops": new, "rows": _sizes(law, levels, new, window)},
        "trends": vars(trends(law, sizes, budgets, window)),
        "surfaces": _surfaces(runs, budgets, number, asked),
        "held_out": _held(runs, laws, asked),
        "advice": _advice(law, runs, asked, _targets(law, runs, asked, new)),
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def _law(law: FittedLaw, runs: Runs) -> dict[str, Any]:
    rows = [{**vars(one), "determined": one.determined} for one in coefficients(law, runs)]
    return {
        "name": law.form.name,
        "source": law.form.source,
        "noise": law.noise,
        "bend": law.bend,
        "draws": len(law.draws),
        "coefficients": rows,
    }


def _rows(optima: Optima, **columns: Float[np.ndarray, " points"]) -> list[dict[str, Any]]:
    return [
        {
            **{name: float(values[at]) for name, values in columns.items()},
            "best": optima.best.row(at),
            "loss": optima.loss.row(at),
            "edge": int(optima.edge[at]),
        }
        for at in range(len(optima.edge))
    ]


def _sparsities(
    law: FittedLaw, sizes: Float[np.ndarray, " sizes"], flops: float, window: Window
) -> list[dict[str, Any]]:
    at = np.full(len(sizes), flops)
    return _rows(best_sparsity(law, sizes, at, window), parameters=sizes, flops=at)


def _sizes(law: FittedLaw, levels: Float[np.ndarray, " levels"], flops: float, window: Window) -> list[dict[str, Any]]:
    at = np.full(len(levels), flops)
    return _rows(best_size(law, levels, at, window), sparsity=levels, flops=at)


def _surfaces(
    runs: Runs, budgets: Float[np.ndarray, " budgets"], number: np.ndarray, asked: FitsConfig
) -> list[dict[str, Any]]:
    """Return a surface for each budget of enough cells, with the best sparsities at the sizes that it has."""
    found = []
    for at, flops in enumerate(budgets):
        here = runs.take(number == at)
        if int(cells_of(here).max()) + 1 < LEAST_CELLS:
            continue
        surface = fit_surface(here, asked.draws, asked.seed)
        sizes = _groups(here.parameters)
        found.append(
            {
                "flops": float(flops),
                "degrees": list(surface.degrees),
                "error": surface.error,
                "correlation": surface.correlation,
                "rows": _rows(surface.best_sparsity(sizes), parameters=sizes),
            }
        )
    return found


def _groups(parameters: Float[np.ndarray, " runs"]) -> Float[np.ndarray, " sizes"]:
    """Return the sizes of a budget; those that lie within a tenth of each other are one."""
    logs = np.sort(np.log(parameters))
    parts = np.split(logs, np.flatnonzero(np.diff(logs) > 0.1) + 1)
    return np.exp([part.mean() for part in parts])


def _held(runs: Runs, laws: Sequence[FittedLaw], asked: FitsConfig) -> list[dict[str, Any]]:
    options = Options(asked.bend, 0, asked.seed)
    return [vars(one) for one in compare_held_out(runs, [law.form for law in laws], options)]


def _targets(law: FittedLaw, runs: Runs, asked: FitsConfig, new: float) -> list[Target]:
    if asked.targets is not None:
        return [Target(one.parameters, one.flops, one.sparsity) for one in asked.targets]
    window, (budgets, _) = Window.of(runs), budgets_of(runs)
    middle, largest = float(np.exp(np.mean(window.size))), float(np.exp(window.size[1]))
    best = best_sparsity(law, np.array([largest]), np.array([new]), window)
    return [Target(middle, float(budgets[len(budgets) // 2])), Target(largest, new, float(best.best.value[0]))]


def _advice(law: FittedLaw, runs: Runs, asked: FitsConfig, targets: list[Target]) -> dict[str, Any]:
    if not targets:
        return {"targets": [], "rows": []}
    advice = advise(law, runs, targets, Cells.grid(runs), asked.narrower)
    flops, grid = advice.cost(asked.narrower)
    tokens = advice.cells.points(law.cost).tokens
    rows = [
        {
            "parameters": float(advice.cells.parameters[cell]),
            "sparsity": float(advice.cells.sparsity[cell]),
            "tokens": float(tokens[cell]),
            "flops": float(advice.cells.flops[cell]),
            "runs": count,
        }
        for cell, count in advice.counts(len(advice.chosen))
    ]
    told = [
        {"answer": one.words(), "width": float(advice.widths[0][at]), "then": float(advice.widths[-1][at])}
        for at, one in enumerate(targets)
    ]
    shares = sorted({asked.narrower, *(share for share in SHARES if share > asked.narrower)}, reverse=True)
    costs = [dict(zip(("share", "flops", "grid"), (share, *advice.cost(share)), strict=True)) for share in shares]
    return {"targets": told, "share": asked.narrower, "flops": flops, "grid": grid, "rows": rows, "costs": costs}


def _plain(value: Any) -> Any:
    """Return a value as JSON: tuples as lists, numbers that are not finite as null."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
