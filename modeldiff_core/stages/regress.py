"""Stage: datamodels of one block of targets, and their assembly."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.datamodels import Datamodels, FromCheckpoints, FromMasks, FromTrainings
from modeldiff_core.datamodels.protocol import Weights
from modeldiff_core.plan import Cost, Label, Reference, Step, Tensors
from modeldiff_core.responses import FullModels, shards_of
from modeldiff_core.stages.blocks import block_arrays, block_key
from modeldiff_core.stages.gram import counts_of, fits_store, gram_reference
from modeldiff_core.stages.metagradients import mean_of_rows, row_specs
from modeldiff_core.stages.regression import Regression, rows_used
from modeldiff_core.stages.times import read_time, write_time
from modeldiff_core.store import (
    MarginMatrix,
    ObjectStore,
    TensorObject,
    read_record,
    read_tensors,
    write_record,
    write_tensors,
)

FIELDS = ("weights", "bias", "lambdas", "duality_gap", "validation_r2")
SECONDS = 1.4e-9
"""Seconds that the lasso takes for a target and a pair of units on one core: measured for 2,000 and 8,000 units."""


@dataclass(frozen=True)
class BlockSpec:
    """The datamodels of targets start..stop−1."""

    regression: Regression
    start: int
    stop: int

    @property
    def key(self) -> str:
        """Key of the block."""
        return block_key(self.regression.reference, self.start, self.stop)

    @property
    def product(self) -> Tensors:
        """The block in a store."""
        digest = self.regression.reference.digest
        arrays = block_arrays(self.stop - self.start, self.regression.units)
        return Tensors(Reference(self.key, digest, self.key), {"datamodels": digest}, arrays, all_finite=False)


def regress_block(store: ObjectStore, spec: BlockSpec) -> None:
    """Fit and store one block unless it is there, with the seconds that it took."""
    fit = spec.regression
    if not store.exists(spec.key):
        estimator = fit.estimator
        if isinstance(estimator, FromMasks):
            fitted, seconds = _fit(store, fit, estimator, spec.start, spec.stop)
        elif isinstance(estimator, FromTrainings):
            fitted, seconds = mean_of_rows(store, fit, spec.start, spec.stop)
        else:
            assert isinstance(estimator, FromCheckpoints)
            fitted, seconds = _attribute(store, fit, estimator)
        arrays = {name: getattr(fitted, name) for name in FIELDS}
        write_time(store, spec.key, seconds)
        write_tensors(store, spec.key, TensorObject(arrays, {"datamodels": fit.reference.digest}, {}))


def finish_regression(store: ObjectStore, spec: Regression) -> None:
    """Write the record that makes the datamodels complete."""
    blocks = [block_key(spec.reference, *block) for block in spec.blocks]
    content = {**spec.record(), "digest": spec.reference.digest, "blocks": blocks}
    write_record(store, spec.reference.record, content)


def block_steps(fits: Mapping[str, Regression], label: Label) -> tuple[Step, ...]:
    """Return the blocks of these regressions, which are intermediate results of their datamodels."""
    return tuple(
        Step(
            f"{words} datamodels of targets {start}-{stop}",
            BlockSpec(fit, start, stop).product,
            regress_block,
            BlockSpec(fit, start, stop),
            _needs(fit, start, stop),
            label,
            Cost(SECONDS * (stop - start) * fit.units**2, 4 * fit.units**2),
            serves=(fit.product,),
            memoized=False,
        )
        for words, fit in fits.items()
        for start, stop in fit.blocks
    )


def _needs(fit: Regression, start: int, stop: int) -> tuple[Reference, ...]:
    if isinstance(fit.estimator, FromTrainings):
        return tuple(rows.product.reference for rows in row_specs(fit, start, stop))
    return fit.sources


def record_steps(fits: Mapping[str, Regression], label: Label) -> tuple[Step, ...]:
    """Return the steps that make these regressions complete."""
    return tuple(
        Step(
            f"{words} datamodels complete",
            fit.product,
            finish_regression,
            fit,
            tuple(BlockSpec(fit, *block).product.reference for block in fit.blocks),
            label,
            Cost(0.01),
        )
        for words, fit in fits.items()
    )


def seconds_taken(store: ObjectStore, spec: Regression) -> float | None:
    """Seconds of all blocks of complete datamodels and of counting the masks; None where some were not measured."""
    keys = list(read_record(store, spec.reference.record)["blocks"])
    if isinstance(spec.estimator, FromMasks) and spec.estimator.uses_counts:
        matrix = MarginMatrix.open(store, spec.matrix.key)
        keys += [gram_reference(matrix, spec.first, spec.half).record] if fits_store(matrix) else []
    taken = [read_time(store, key) for key in keys]
    known = [seconds for seconds in taken if seconds is not None]
    return sum(known) if len(known) == len(taken) else None


def read_datamodels(store: ObjectStore, regression: Regression) -> Datamodels:
    """Return all blocks of complete datamodels, checked."""
    return read_blocks(store, regression.reference)


def read_blocks(store: ObjectStore, reference: Reference) -> Datamodels:
    """Return the blocks that the record of complete datamodels names, checked; their size is no part of what they
    are.
    """
    record = read_record(store, reference.record)
    identity = {"datamodels": reference.digest}
    parts = [read_tensors(store, key, identity).arrays for key in record["blocks"]]
    return Datamodels(**{name: np.concatenate([part[name] for part in parts]) for name in FIELDS})


def _fit(store: ObjectStore, spec: Regression, estimator: FromMasks, start: int, stop: int) -> tuple[Datamodels, float]:
    """Datamodels of targets start..stop−1, and the seconds of the fit alone."""
    matrix = MarginMatrix.open(store, spec.matrix.key)
    keep = rows_used(matrix, spec.first, spec.half)
    masks, margins = matrix.masks()[keep], matrix.margins(start, stop)[keep]
    counts = counts_of(store, spec, masks) if estimator.uses_counts else None
    known = None if spec.prior is None else read_datamodels(store, spec.prior).weights[start:stop]
    began = time.process_time()
    factors = np.zeros(stop - start, np.float32)
    if known is not None:
        factors, margins = without_prior(masks, margins, known)
    fit = estimator.prepare(masks, counts)
    chunk = estimator.chunk or stop - start
    parts = [fit(np.ascontiguousarray(margins[:, at : at + chunk])) for at in range(0, stop - start, chunk)]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS}
    if known is not None:
        joined["weights"] = joined["weights"] + factors[:, None] * known
    return Datamodels(**joined), time.process_time() - began


def without_prior(
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "models targets"],
    prior: Float[np.ndarray, "targets train"],
) -> tuple[Float[np.ndarray, " targets"], Float[np.ndarray, "models targets"]]:
    """Return one factor f_t ≥ 0 for each target, and what f_t times the prior's prediction leaves of its margins.

    f_t = ⟨p_t, y_t⟩/‖p_t‖² with p_t = masks·prior_t and y_t the margins, both centered over models; 0 where p_t does
    not vary or points the wrong way.
    """
    predicted = masks.astype(np.float32) @ prior.T
    p, y = (values.astype(np.float64) - values.mean(0, dtype=np.float64) for values in (predicted, margins))
    norm = np.square(p).sum(0)
    factors = np.maximum(np.divide((p * y).sum(0), norm, out=np.zeros_like(norm), where=norm > 0), 0)
    return factors.astype(np.float32), (margins - factors * predicted).astype(np.float32)


def _attribute(store: ObjectStore, spec: Regression, estimator: FromCheckpoints) -> tuple[Datamodels, float]:
    """Return the datamodels of all targets, and the seconds that they took."""
    assert spec.checkpoints is not None
    task = spec.checkpoints.training.task()
    began = time.process_time()
    found = estimator.attribute(task, _checkpoints(store, spec))
    return found, time.process_time() - began


def _checkpoints(store: ObjectStore, spec: Regression) -> Iterator[Weights]:
    """Yield the weights of the models of a half (or of all), a shard at a time."""
    assert spec.checkpoints is not None
    responses = FullModels(spec.checkpoints.training)
    size = responses.shard_size
    for index in range(shards_of(spec.checkpoints.models, size)):
        number = index * size + np.arange(size)
        chosen = (number < spec.checkpoints.models) & ((number % 2 == spec.half) if spec.half is not None else True)
        if chosen.any():
            yield {name: array[chosen] for name, array in responses.weights(store, index).items()}
