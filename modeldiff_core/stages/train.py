"""Stage: train one shard and put it into the store."""

import socket
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.errors import DamagedObject
from modeldiff_core.stages.probe import tuned_execution
from modeldiff_core.stages.references import open_store
from modeldiff_core.store import (
    ObjectStore,
    Shard,
    StoreSettings,
    TensorObject,
    read_shard,
    read_tensors,
    shard_key,
    write_shard,
    write_tensors,
)
from modeldiff_core.study import Training
from modeldiff_core.training import Execution, TrainedModels, train_ensemble, train_subset_models

WEIGHTS = "weights."


def train_subset_shard(
    store: dict[str, Any], training: dict[str, Any], index: int, execution: dict[str, Any]
) -> dict[str, Any]:
    """Train the subset models of one shard unless it is there and intact; gives how many diverged."""
    spec, objects = Training.from_json(training), open_store(store)
    models = range(index * spec.shard_size, (index + 1) * spec.shard_size)
    try:  # a worker that died after its last line, or another flow, may have finished it by now
        shard = read_shard(objects, spec.subsets, index, spec.identity)
    except (FileNotFoundError, DamagedObject):
        task = spec.task()
        way = tuned_execution(StoreSettings(**store), spec, "subsets", Execution(**execution))
        result = train_subset_models(task, spec.sampler(len(task.train)), models, way)
        shard = Shard(models.start, result.masks, result.margins, result.diverged)
        write_shard(objects, spec.subsets, index, shard, spec.identity)
    return {"index": index, "models": len(models), "diverged": int(shard.diverged.sum()), **_place(execution)}


def train_ensemble_shard(
    store: dict[str, Any], training: dict[str, Any], index: int, execution: dict[str, Any]
) -> dict[str, Any]:
    """Train the full-data models of one shard unless it is there and intact.

    Their weights are kept where the algorithm can give them.
    """
    spec, objects = Training.from_json(training), open_store(store)
    models = range(index * spec.ensemble_shard_size, (index + 1) * spec.ensemble_shard_size)
    try:
        read_tensors(objects, shard_key(spec.ensemble, index), spec.identity)
    except (FileNotFoundError, DamagedObject):
        task = spec.task()
        way = tuned_execution(StoreSettings(**store), spec, "ensemble", Execution(**execution))
        trained, logits = train_ensemble(task, models, way)
        arrays = {"logits": logits, **{WEIGHTS + name: value for name, value in trained.weights().items()}}
        content = TensorObject(arrays, spec.identity, {"index": index, "first": models.start})
        write_tensors(objects, shard_key(spec.ensemble, index), content)
    return {"index": index, "models": len(models), "diverged": 0, **_place(execution)}


def _place(execution: dict[str, Any]) -> dict[str, str]:
    """Where a shard was trained, for the log."""
    return {"device": execution["device"], "machine": socket.gethostname()}


SHARD_WORKERS = {"subsets": train_subset_shard, "ensemble": train_ensemble_shard}
"""What trains a shard, by the kind of the shard (the folder that it is stored in)."""


def load_ensemble(
    store: dict[str, Any], spec: Training, index: int, execution: Execution
) -> tuple[TrainedModels, Float[np.ndarray, "models targets classes"]]:
    """The full-data models of one shard and their logits; models without stored weights are trained again."""
    content = read_tensors(open_store(store), shard_key(spec.ensemble, index), spec.identity)
    weights = _weights(content)
    task = spec.task()
    if weights:
        height, width, channels = task.train.images.shape[1:]
        models = task.algorithm.load(weights, (height, width, channels), task.n_classes, execution)
    else:
        first = int(str(content.facts["first"]))
        models, _ = train_ensemble(task, range(first, first + len(content.arrays["logits"])), execution)
    return models, content.arrays["logits"]


def checkpoint_weights(store: ObjectStore, spec: Training, index: int) -> dict[str, Float[np.ndarray, "models ..."]]:
    """The stored weights of the full-data models of one shard; empty for an algorithm that stores none."""
    return _weights(read_tensors(store, shard_key(spec.ensemble, index), spec.identity))


def _weights(content: TensorObject) -> dict[str, Float[np.ndarray, "models ..."]]:
    return {n.removeprefix(WEIGHTS): a for n, a in content.arrays.items() if n.startswith(WEIGHTS)}
