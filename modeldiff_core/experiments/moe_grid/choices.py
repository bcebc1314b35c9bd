"""Decisions during a study: which learning rates are cut early, and the rule that the others follow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from modeldiff_core.experiments.moe_grid.corpus import FOLDER
from modeldiff_core.experiments.moe_grid.training import Rung, Training
from modeldiff_core.plan import Checkpoint, Label, Record, Reference, Step, refer
from modeldiff_core.plan.failures import read_failure
from modeldiff_core.plan.products import read_digested
from modeldiff_core.store import ObjectStore, write_record
from modeldiff_core.training.moe import active_parameters

FEWEST = 4
"""Cells whose best rate lies between others that a rule with slopes takes; with fewer it is one rate for all."""


def loss_of(store: ObjectStore, one: Training | Rung) -> float:
    """Return the loss of a training or of its first part, infinite if it diverged; raises FileNotFoundError before."""
    if read_failure(store, one.product.reference):
        return math.inf
    return float(one.product.read(store)["loss"][0])


@dataclass(frozen=True)
class Halving:
    """The learning rates of one cell after the same steps. keep: how many of them go on."""

    rungs: tuple[Rung, ...]
    keep: int

    @property
    def reference(self) -> Reference:
        """The record of which went on."""
        identity = {"rungs": [rung.product.reference.digest for rung in self.rungs], "keep": self.keep}
        return refer(FOLDER, "halving", identity)

    def step(self) -> Step:
        """Return the step that compares them."""
        needs = tuple(rung.product.reference for rung in self.rungs)
        label, name = Label("comparisons of first parts", "compare"), f"comparison of {self.rungs[0].training.words}"
        return Step(name, Record(self.reference), halve, self, needs, label)

    def kept(self, store: ObjectStore) -> list[float]:
        """Return the rates that go on."""
        return [float(rate) for rate in read_digested(store, self.reference)["kept"]]


def halve(store: ObjectStore, spec: Halving) -> None:
    """Keep the rates with the lowest mean loss over seeds, one with a diverged seed last; remove the others' states.

    The record says of each rate its losses and whether it went on.
    """
    by_rate = dict[float, list[float]]()
    for rung in spec.rungs:
        by_rate.setdefault(rung.training.recipe.learning_rate, []).append(loss_of(store, rung))
    ordered = sorted(by_rate, key=lambda rate: (float(np.mean(by_rate[rate])), rate))
    kept = [rate for rate in ordered[: spec.keep] if math.isfinite(np.mean(by_rate[rate]))] or ordered[:1]
    for rung in spec.rungs:
        key = Checkpoint.of(rung.training.product).key
        if rung.training.recipe.learning_rate not in kept and store.exists(key):
            store.delete(key)
    rates = [
        {"rate": rate, "losses": [loss if math.isfinite(loss) else None for loss in losses], "kept": rate in kept}
        for rate, losses in sorted(by_rate.items())
    ]
    write_record(
        store,
        spec.reference.record,
        {"digest": spec.reference.digest, "until": spec.rungs[0].until, "kept": sorted(kept), "rates": rates},
    )


@dataclass(frozen=True)
class Rule:
    """The learning rate of every cell, fitted on trainings of some of them at several rates.

    log η = i + j log N_a + k log C by least squares over the cells whose best rate lies between two others, where the
    best rate of a cell is the lowest point of a parabola in log η through the best rate and its neighbors. With fewer
    than FEWEST such cells, or where they do not determine the slopes, it is the geometric mean of all best rates.
    """

    trainings: tuple[Training, ...]

    @cached_property
    def reference(self) -> Reference:
        """The record of the rule."""
        digests = [one.product.reference.digest for one in self.trainings]
        return refer(FOLDER, "rule", {"trainings": digests, "fewest": FEWEST})

    def step(self) -> Step:
        """Return the step that fits it."""
        needs = tuple(one.product.reference for one in self.trainings)
        label = Label("rules of the learning rate", "rule")
        return Step("rule of the learning rate", Record(self.reference), fit_rule, self, needs, label)

    def rate(self, store: ObjectStore, cell: Training) -> float:
        """Return the rate of a cell to three digits, within the rates that were tried."""
        found = read_digested(store, self.reference)
        i, j, k = found["coefficients"]
        rate = math.exp(i + j * math.log(active_parameters(cell.network)) + k * math.log(cell.budget))
        return float(f"{min(max(rate, found['lowest']), found['highest']):.3g}")


def fit_rule(store: ObjectStore, spec: Rule) -> None:
    """Write the coefficients of the rule and the best rate of each tuned cell."""
    cells = dict[tuple[Any, float], dict[float, list[float]]]()
    for one in spec.trainings:
        rates = cells.setdefault((one.network, one.budget), {})
        rates.setdefault(one.recipe.learning_rate, []).append(loss_of(store, one))
    rows, tried = [], sorted({one.recipe.learning_rate for one in spec.trainings})
    for (network, budget), losses in cells.items():
        means = [float(np.mean(losses[rate])) for rate in sorted(losses)]
        rate, edge = best_rate(sorted(losses), means)
        if rate is not None:
            rows.append({"active": active_parameters(network), "budget": budget, "rate": rate, "edge": edge})
    if not rows:
        tried_rates = ", ".join(f"{rate:g}" for rate in tried)
        raise ValueError(f"learning_rates: every training of the tuned cells diverged at every rate ({tried_rates})")
    inside = [row for row in rows if not row["edge"]]
    coefficients = [float(np.mean(np.log([row["rate"] for row in rows]))), 0.0, 0.0]
    if len(inside) >= FEWEST:
        design = np.array([[1.0, math.log(row["active"]), math.log(row["budget"])] for row in inside])
        if np.linalg.matrix_rank(design) == 3:
            solved = np.linalg.lstsq(design, np.log([row["rate"] for row in inside]), rcond=None)[0]
            coefficients = [float(value) for value in solved]
    content = {"digest": spec.reference.digest, "coefficients": coefficients, "cells": rows}
    write_record(store, spec.reference.record, {**content, "lowest": tried[0], "highest": tried[-1]})


def best_rate(rates: Sequence[float], losses: Sequence[float]) -> tuple[float | None, bool]:
    """Return the rate with the lowest loss and whether it is an end of those that were tried; None if all diverged.

    Between others it is the lowest point of the parabola in log η through it and its neighbors.

    Args:
        rates: Rates in rising order.
        losses: The mean loss at each, infinite if a seed diverged.

    """
    at = int(np.argmin(losses))
    if not math.isfinite(losses[at]):
        return None, True
    if at in (0, len(rates) - 1):
        return float(rates[at]), True
    left, middle, right = losses[at - 1 : at + 2]
    if not (math.isfinite(left) and math.isfinite(right)):
        return float(rates[at]), False
    second, first, _ = np.polyfit(np.log(rates[at - 1 : at + 2]), [left, middle, right], 2)
    return (float(math.exp(-first / (2 * second))) if second > 0 else float(rates[at])), False
