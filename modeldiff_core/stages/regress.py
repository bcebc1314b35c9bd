"""Stage: datamodels of one block of targets, and their assembly."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from modeldiff_core.datamodels import Datamodels, FromCheckpoints, FromMasks
from modeldiff_core.datamodels.protocol import Weights
from modeldiff_core.stages.gram import counts_of, fits_store, gram_reference
from modeldiff_core.stages.references import Reference, open_store
from modeldiff_core.stages.regression import Checkpoints, Regression, rows_used
from modeldiff_core.stages.times import read_time, write_time
from modeldiff_core.stages.train import checkpoint_weights
from modeldiff_core.store import (
    MarginMatrix,
    ObjectStore,
    TensorObject,
    read_record,
    read_tensors,
    write_record,
    write_tensors,
)
from modeldiff_core.study import Training, shards_of

FIELDS = ("weights", "bias", "lambdas", "duality_gap", "validation_r2")


def block_key(reference: Reference, start: int, stop: int) -> str:
    """Name of a block's object."""
    return f"{reference.key}/targets-{start:06d}-{stop:06d}.safetensors"


def regress_block(store: dict[str, Any], regression: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Fit and store one block unless it is there, and beside it the seconds that it took."""
    objects, spec = open_store(store), Regression.from_json(regression)
    key = block_key(spec.reference, start, stop)
    if not objects.exists(key):
        estimator = spec.estimator
        if isinstance(estimator, FromMasks):
            fitted, seconds = _fit(objects, spec, estimator, start, stop)
        else:
            assert isinstance(estimator, FromCheckpoints)
            fitted, seconds = _attribute(objects, spec, estimator)
        arrays = {name: getattr(fitted, name) for name in FIELDS}
        write_time(objects, key, seconds)
        write_tensors(objects, key, TensorObject(arrays, {"datamodels": spec.reference.digest}, {}))
    return {"key": key}


def finish_regression(store: dict[str, Any], regression: dict[str, Any]) -> dict[str, Any]:
    """Write the record that makes the datamodels complete."""
    objects, spec = open_store(store), Regression.from_json(regression)
    blocks = [block_key(spec.reference, *block) for block in spec.blocks]
    write_record(objects, spec.reference.record, {**spec.to_json(), "digest": spec.reference.digest, "blocks": blocks})
    return spec.reference.to_json()


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
    """All blocks of complete datamodels, checked."""
    return read_blocks(store, regression.reference)


def read_blocks(store: ObjectStore, reference: Reference) -> Datamodels:
    """The blocks that the record of complete datamodels names, checked; their size is no part of what they are."""
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
    began = time.process_time()
    fit = estimator.prepare(masks, counts)
    chunk = estimator.chunk or stop - start
    parts = [fit(np.ascontiguousarray(margins[:, at : at + chunk])) for at in range(0, stop - start, chunk)]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS}
    return Datamodels(**joined), time.process_time() - began


def _attribute(store: ObjectStore, spec: Regression, estimator: FromCheckpoints) -> tuple[Datamodels, float]:
    """Datamodels of all targets, and the seconds that they took."""
    assert spec.checkpoints is not None
    training = Training.from_json(spec.checkpoints.training)
    task = training.task()
    began = time.process_time()
    found = estimator.attribute(task, _checkpoints(store, training, spec.checkpoints, spec.half))
    return found, time.process_time() - began


def _checkpoints(
    store: ObjectStore, training: Training, checkpoints: Checkpoints, half: int | None
) -> Iterator[Weights]:
    """Weights of the models of a half (or of all), a shard at a time."""
    for index in range(shards_of(checkpoints.models, training.ensemble_shard_size)):
        number = index * training.ensemble_shard_size + np.arange(training.ensemble_shard_size)
        chosen = (number < checkpoints.models) & ((number % 2 == half) if half is not None else True)
        if chosen.any():
            yield {name: array[chosen] for name, array in checkpoint_weights(store, training, index).items()}
