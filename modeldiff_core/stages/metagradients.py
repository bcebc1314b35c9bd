"""Stage: rows of one training for a block of targets, for estimators that run trainings of their own; their mean."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from modeldiff_core.datamodels import Datamodels, FromTrainings
from modeldiff_core.errors import Diverged
from modeldiff_core.plan import Array, Cost, Label, Product, Step, Tensors
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.times import read_time, write_time
from modeldiff_core.store import ObjectStore
from modeldiff_core.training import Execution

VERSION = 1


@dataclass(frozen=True)
class Rows:
    """The rows of targets start..stop−1 from training `number`; how many trainings there are is no part of them."""

    regression: Regression
    number: int
    start: int
    stop: int

    @property
    def product(self) -> Tensors:
        """Where they are."""
        fit = self.regression
        assert fit.checkpoints is not None
        assert isinstance(fit.estimator, FromTrainings)
        identity = {
            "version": VERSION,
            "training": fit.checkpoints.training.digest,
            "kind": fit.kind,
            "estimator_version": fit.estimator.version,
            "settings": fit.estimator.identity_of_rows(),
            "number": self.number,
            "targets": [self.start, self.stop],
        }
        sizes = {"targets": self.stop - self.start}
        arrays = Array("weights", {**sizes, "train": fit.units}), Array("bias", sizes), Array("finite", {"one": 1})
        return Tensors.of(f"{fit.folder}/metagradients", f"rows-{self.number:05d}", identity, *arrays)


def metagradient_rows(store: ObjectStore, spec: Rows, execution: Execution) -> None:
    """Differentiate one training and store the rows, with the seconds that they took; zeros if it diverged."""
    fit, estimator = spec.regression, spec.regression.estimator
    assert fit.checkpoints is not None
    assert isinstance(estimator, FromTrainings)
    training = fit.checkpoints.training
    task, targets = training.task(), slice(spec.start, spec.stop)
    began = time.process_time()
    found = estimator.rows(task, training.fraction, spec.number, targets, execution)
    seconds = time.process_time() - began
    finite = bool(np.isfinite(found.weights).all() and np.isfinite(found.bias).all())
    weights, bias = (value if finite else np.zeros_like(value) for value in (found.weights, found.bias))
    write_time(store, spec.product.reference.record, seconds)
    spec.product.write(store, {"weights": weights, "bias": bias, "finite": np.array([finite], np.uint8)})


def row_specs(fit: Regression, start: int, stop: int) -> list[Rows]:
    """Return the rows that a block of a regression is the mean of."""
    estimator = fit.estimator
    assert isinstance(estimator, FromTrainings)
    step = 1 if fit.half is None else 2
    return [Rows(fit, number, start, stop) for number in range(fit.half or 0, estimator.trainings, step)]


def row_steps(fits: Mapping[str, Regression], label: Label) -> tuple[Step, ...]:
    """Return the steps that differentiate trainings for these regressions; each is taken once, whichever need it."""
    steps: dict[str, Step] = {}
    serves: dict[str, list[Product]] = {}
    for words, fit in fits.items():
        if not isinstance(fit.estimator, FromTrainings):
            continue
        for start, stop in fit.blocks:
            for rows in row_specs(fit, start, stop):
                serves.setdefault(rows.product.reference.record, []).append(fit.product)
                name = f"{words} metagradients of training {rows.number}, targets {start}-{stop}"
                cost = Cost(2e-5 * (stop - start) * fit.units, 4 * (stop - start) * fit.units)
                made = rows.product
                steps.setdefault(
                    made.reference.record,
                    Step(name, made, metagradient_rows, rows, label=label, cost=cost, on_device=True),
                )
    return tuple(replace(step, serves=tuple(serves[key])) for key, step in steps.items())


def mean_of_rows(store: ObjectStore, fit: Regression, start: int, stop: int) -> tuple[Datamodels, float]:
    """Return the mean over the trainings that did not diverge, and the seconds that all of them took.

    Raises:
        Diverged: If all of them did.
    """
    total, bias = np.zeros((stop - start, fit.units)), np.zeros(stop - start)
    kept, seconds = 0, 0.0
    for rows in row_specs(fit, start, stop):
        arrays = rows.product.read(store)
        seconds += read_time(store, rows.product.reference.record) or 0.0
        if arrays["finite"][0]:
            total += arrays["weights"]
            bias += arrays["bias"]
            kept += 1
    if not kept:
        raise Diverged(
            f"all trainings of {fit.folder} ended with derivatives that are not finite. Lower recipe.learning_rate, or "
            "take another estimator"
        )
    missing = np.full(stop - start, np.nan, np.float32)
    weights = np.asarray(total / kept, np.float32)
    return Datamodels(weights, np.asarray(bias / kept, np.float32), missing, missing, missing), seconds
