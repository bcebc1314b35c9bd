"""What a finished grid says: the loss of each cell at its best learning rate, and what was cut or diverged."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modeldiff_core.experiments.moe_grid.choices import best_rate
from modeldiff_core.experiments.moe_grid.grid import Cell
from modeldiff_core.experiments.moe_grid.training import CURVE, Training
from modeldiff_core.plan.failures import read_failure
from modeldiff_core.plan.products import read_digested
from modeldiff_core.store import ObjectStore
from modeldiff_core.training.moe import active_parameters, parameters

if TYPE_CHECKING:
    from modeldiff_core.experiments.moe_grid.experiment import Scaling


def summarized(experiment: "Scaling", store: ObjectStore) -> dict[str, Any]:
    """Return the summary: a row a cell, the rule of the learning rate, and counts of what was left out."""
    cells = [cell_rows(experiment, store, cell) for cell in experiment.cells.all]
    runs = [run for cell in cells for run in cell["runs"]]
    rule, fits = experiment.rule, experiment.fits
    failure = read_failure(store, fits.runs.reference) if fits else None
    return {
        "text": _text(experiment, store),
        "cells": cells,
        "rule": None if rule is None else read_digested(store, rule.reference),
        "runs": len(runs),
        "diverged": sum(run["failure"] != "" for run in runs),
        "cut": sum(len(halving["cut"]) for cell in cells for halving in cell["halvings"]),
        "edges": sum(cell["edge"] for cell in cells),
        "laws": fits.read(store) if fits and not failure else None,
        "no_laws": failure["reason"] if failure else "",
    }


def _text(experiment: "Scaling", store: ObjectStore) -> dict[str, Any]:
    train, validation = experiment.corpus.read(store)
    return {"tokens": len(train), "validation_tokens": len(validation), "sha256": experiment.corpus.fingerprint}


def cell_rows(experiment: "Scaling", store: ObjectStore, cell: Cell) -> dict[str, Any]:
    """Return what is known of a cell: its network, its runs, and their mean at the best rate."""
    network, trainings = cell.network, experiment.runs(store, cell)
    first = trainings[0]
    runs = [_run(store, one) for one in trainings]
    chosen, edge = _chosen(runs, experiment.rates(store, cell))
    best = [run for run in runs if run["rate"] == chosen and not run["failure"]]
    losses = [run["loss"] for run in best]
    return {
        "name": cell.words,
        "parameters": parameters(network),
        "active_parameters": active_parameters(network),
        "width": network.width,
        "layers": network.layers,
        "experts": network.experts,
        "active": network.active,
        "granularity": network.granularity,
        "sparsity": network.sparsity,
        "budget": cell.budget,
        "steps": first.steps,
        "tokens": first.tokens,
        "flops": first.flops,
        "rate": chosen,
        "edge": edge,
        "loss": float(np.mean(losses)) if losses else None,
        "sd": float(np.std(losses, ddof=1)) if len(losses) > 1 else None,
        "seeds": len(losses),
        "balance": _balance(store, trainings, best),
        "curve": _curve(store, trainings, best),
        "runs": runs,
        "halvings": [_halving(store, halving.reference) for halving in experiment.halvings(store, cell)],
    }


def _run(store: ObjectStore, one: Training) -> dict[str, Any]:
    failure = read_failure(store, one.product.reference)
    loss = None if failure else float(one.product.read(store)["loss"][0])
    rate = one.recipe.learning_rate
    return {"rate": rate, "seed": one.seed, "loss": loss, "failure": failure["reason"] if failure else ""}


def _chosen(runs: Sequence[Mapping[str, Any]], tried: Sequence[float]) -> tuple[float | None, bool]:
    """Return the rate with the lowest mean loss, and whether it is an end of several that were tried.

    A rate with a diverged run is no candidate while another has none.
    """
    losses = dict.fromkeys(sorted(tried), math.inf)
    for rate in {run["rate"] for run in runs}:
        own = [run["loss"] for run in runs if run["rate"] == rate]
        losses[rate] = math.inf if None in own else float(np.mean(own))
    if all(math.isinf(loss) for loss in losses.values()):
        left = [run for run in runs if not run["failure"]]
        return (min(left, key=lambda run: run["loss"])["rate"] if left else None), len(tried) > 1
    rates = list(losses)
    _, edge = best_rate(rates, list(losses.values()))
    return min(rates, key=lambda rate: losses[rate]), edge and len(tried) > 1


def _kept(trainings: Sequence[Training], best: Sequence[Mapping[str, Any]]) -> list[Training]:
    wanted = {(run["rate"], run["seed"]) for run in best}
    return [one for one in trainings if (one.recipe.learning_rate, one.seed) in wanted]


def _balance(
    store: ObjectStore, trainings: Sequence[Training], best: Sequence[Mapping[str, Any]]
) -> dict[str, float] | None:
    """Return the heaviest expert's load and the share of idle experts, means over layers and seeds.

    heaviest: in units of an even load; idle: experts with less than a tenth of it.
    """
    loads = [one.product.read(store)["loads"] for one in _kept(trainings, best)]
    if not loads:
        return None
    even = np.stack(loads) * loads[0].shape[1]
    return {"heaviest": float(even.max(2).mean()), "idle": float((even < 0.1).mean())}


def _curve(
    store: ObjectStore, trainings: Sequence[Training], best: Sequence[Mapping[str, Any]]
) -> dict[str, list[float]]:
    """Return the learning curve, a mean over seeds."""
    found = [one.product.read(store) for one in _kept(trainings, best)]
    return {name: np.mean([one[name] for one in found], 0).tolist() if found else [] for name in CURVE}


def _halving(store: ObjectStore, reference: Any) -> dict[str, Any]:
    record = read_digested(store, reference)
    cut = [{"rate": one["rate"], "losses": one["losses"]} for one in record["rates"] if not one["kept"]]
    return {"until": record["until"], "kept": record["kept"], "cut": cut}
