"""Stages: train models again without the examples that a datamodel calls most helpful, and judge what it predicted.

For each chosen target the `top_k` examples of largest weight are taken out of the training set. A model is then trained
on what the design would have drawn for it without them, at the design's fraction, with the number and the seed that it
had with them. Only the first models are used, which no regression has seen; with the examples they stand in the
training's own shards. The check asks the same question as the score, of masks that were chosen to matter.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.errors import DamagedObject
from modeldiff_core.evaluation.counterfactual import most_helpful, predicted_change
from modeldiff_core.plan import Array, Cost, Label, Reference, Step, Tensors, refer
from modeldiff_core.responses import SubsetModels, shards_of
from modeldiff_core.responses.probe import tuned_execution
from modeldiff_core.stages.regression import Regression
from modeldiff_core.store import (
    MarginMatrix,
    ObjectStore,
    TensorObject,
    read_record,
    read_shard,
    read_tensors,
    write_tensors,
)
from modeldiff_core.store.tensors import Arrays
from modeldiff_core.study import Training
from modeldiff_core.training import Execution, train_subset_models

VERSION = 1


@dataclass(frozen=True)
class Removal:
    """One target's most helpful examples, by the datamodels of a regression, taken from the first `models` subsets."""

    training: Training
    regression: Regression
    target: int
    top_k: int
    models: int

    @property
    def reference(self) -> Reference:
        """Where the margins without them are stored."""
        identity = {
            "version": VERSION,
            "training": self.training.digest,
            "target": self.target,
            "datamodels": self.regression.reference.digest,
            "top_k": self.top_k,
            "models": self.models,
        }
        return refer(self.training.prefix, "counterfactual", identity, record="{key}.safetensors")

    def step(self, name: str, label: Label) -> Step:
        """Return the step that trains them."""
        axes = {"models": self.models}
        arrays = Array("predicted", axes), Array("actual", axes), Array("valid", axes)
        makes = Tensors(self.reference, _identity(self), arrays)
        needs = (self.regression.reference, *_shards(self))
        cost = Cost(0.02 * self.models, units=self.models)
        return Step(name, makes, train_without, self, needs, label, cost, on_device=True, memoized=False)


def train_without(store: ObjectStore, spec: Removal, execution: Execution) -> None:
    """Train the models of one removal unless they are there and intact."""
    try:
        read_tensors(store, spec.reference.record, _identity(spec))
    except (FileNotFoundError, DamagedObject):
        task = spec.training.task()
        weights = _weights(store, spec)
        removed = most_helpful(weights, spec.top_k)
        without, models = spec.training.design(len(task.train), tuple(removed.tolist())), range(spec.models)
        way = tuned_execution(store.settings, spec.training, "subsets", execution)
        trained = train_subset_models(task, without.masks(models), models, way)
        masks, before, valid = _models_with(store, spec)
        arrays = {
            "removed": removed,
            "predicted": predicted_change(weights, masks, trained.masks),
            "actual": (trained.margins[:, spec.target] - before).astype(np.float64),
            "valid": valid & ~trained.diverged,
        }
        write_tensors(store, spec.reference.record, TensorObject(arrays, _identity(spec), {"target": spec.target}))


def read_removal(store: ObjectStore, spec: Removal) -> Arrays:
    """Return what a removal changed, checked."""
    return read_tensors(store, spec.reference.record, _identity(spec)).arrays


def _shards(spec: Removal) -> tuple[Reference, ...]:
    responses = SubsetModels(spec.training)
    return tuple(responses.reference(i) for i in range(shards_of(spec.models, responses.shard_size)))


def _identity(spec: Removal) -> dict[str, Any]:
    return {"counterfactual": spec.reference.digest}


def _weights(store: ObjectStore, spec: Removal) -> Float[np.ndarray, " train"]:
    """Return the target's datamodel, from the block that holds it."""
    reference = spec.regression.reference
    for key in read_record(store, reference.record)["blocks"]:
        start, stop = (int(number) for number in key.removesuffix(".safetensors").rsplit("-", 2)[1:])
        if start <= spec.target < stop:
            block = read_tensors(store, key, {"datamodels": reference.digest})
            return np.asarray(block.arrays["weights"][spec.target - start])
    raise DamagedObject(
        f"{store.url(reference.record)}: names no block of target {spec.target}", keys=(reference.record,)
    )


Models = tuple[Bool[np.ndarray, "models train"], Float[np.ndarray, " models"], Bool[np.ndarray, " models"]]


def _models_with(store: ObjectStore, spec: Removal) -> Models:
    """Return masks, margins of the target and validity of the same models with the examples, from stored shards."""
    training = spec.training
    shards = [
        read_shard(store, training.subsets, index, training.identity)
        for index in range(shards_of(spec.models, training.shard_size))
    ]
    masks = np.concatenate([shard.masks for shard in shards])[: spec.models]
    margins = np.concatenate([shard.margins[:, spec.target] for shard in shards])[: spec.models]
    diverged = np.concatenate([shard.diverged for shard in shards])[: spec.models]
    valid = ~diverged & MarginMatrix.open(store, spec.regression.matrix.key).valid()[: spec.models]
    return masks, margins, valid
