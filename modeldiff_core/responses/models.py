"""Responses of trained models: subset models give margins, full-data models logits and weights."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from modeldiff_core.designs import Design, Everything
from modeldiff_core.plan import Array, Product, Tensors
from modeldiff_core.responses.probe import tuned_execution
from modeldiff_core.responses.products import RowShard
from modeldiff_core.responses.responses import Responses, shards_of
from modeldiff_core.store import ObjectStore, Shard, TensorObject, read_tensors, shard_key, write_shard, write_tensors
from modeldiff_core.study import Training
from modeldiff_core.training import Execution, TrainedModels, train_ensemble, train_subset_models
from modeldiff_core.training.functions.algorithm import FunctionModels

WEIGHTS = "weights."
KEPT = 8
"""Shards of full-data models without stored weights that a process keeps."""
_kept: "OrderedDict[tuple[str, str, int], TrainedModels]" = OrderedDict()


@dataclass(frozen=True)
class _Models(Responses):
    """Models of a training, which knows their folders, seeds and targets."""

    training: Training

    @property
    def identity(self) -> Mapping[str, Any]:
        return self.training.identity

    @property
    def home(self) -> str:
        return self.training.prefix

    @property
    def targets(self) -> int:
        return self.training.targets


@dataclass(frozen=True)
class SubsetModels(_Models):
    """Models trained on the subsets of a training's design, and their margins."""

    kind: Literal["subset_models"] = "subset_models"

    @property
    def folder(self) -> str:
        return self.training.subsets

    @property
    def shard_size(self) -> int:
        return self.training.shard_size

    @cached_property
    def design(self) -> Design:
        return self.training.design(len(self.training.load().train))

    def product(self, index: int) -> Product:
        return RowShard.of(self, index)

    def make(self, store: ObjectStore, index: int, execution: Execution) -> None:
        task = self.training.task()
        way = tuned_execution(store.settings, self.training, "subsets", execution)
        models = self.rows(index)
        result = train_subset_models(task, self.design.masks(models), models, way)
        shard = Shard(models.start, result.masks, result.margins, result.diverged)
        write_shard(store, self.folder, index, shard, self.identity)


@dataclass(frozen=True)
class FullModels(_Models):
    """Models trained on all data, their logits of the targets, and their weights where the algorithm can give them."""

    kind: Literal["full_models"] = "full_models"

    @property
    def folder(self) -> str:
        return self.training.ensemble

    @property
    def shard_size(self) -> int:
        return self.training.ensemble_shard_size

    @cached_property
    def design(self) -> Design:
        return Everything(len(self.training.load().train))

    def product(self, index: int) -> Product:
        axes = {"models": self.shard_size, "targets": self.targets, "classes": self.training.load().n_outputs}
        return Tensors(self.reference(index), self.identity, (Array("logits", axes),))

    def make(self, store: ObjectStore, index: int, execution: Execution) -> None:
        models = self.rows(index)
        way = tuned_execution(store.settings, self.training, "ensemble", execution)
        trained, logits = train_ensemble(self.training.task(), models, way)
        self._keep(index, trained)
        arrays = {"logits": logits, **{WEIGHTS + name: value for name, value in trained.weights().items()}}
        content = TensorObject(arrays, self.identity, {"index": index, "first": models.start})
        write_tensors(store, shard_key(self.folder, index), content)

    def load(
        self, store: ObjectStore, index: int, execution: Execution
    ) -> tuple[TrainedModels, Float[np.ndarray, "models targets classes"]]:
        """Return the models of a shard and their logits; models without stored weights are trained again."""
        content = self._read(store, index)
        weights, task = _weights(content), self.training.task()
        if weights:
            height, width, channels = task.train.images.shape[1:]
            models = task.algorithm.load(weights, (height, width, channels), task.n_classes, execution)
        elif (kept := _kept.get(self._kept_key(index))) is not None:
            models = kept
        else:
            first = int(str(content.facts["first"]))
            models, _ = train_ensemble(task, range(first, first + len(content.arrays["logits"])), execution)
            self._keep(index, models)
        return models, content.arrays["logits"]

    def _keep(self, index: int, models: TrainedModels) -> None:
        """Keep models of a user's own function in this process: they are asked often and only trained again."""
        if isinstance(models, FunctionModels):
            _kept[self._kept_key(index)] = models
            while len(_kept) > KEPT:
                _kept.popitem(last=False)

    def _kept_key(self, index: int) -> tuple[str, str, int]:
        return self.training.digest, str(self.training.code.get("source", "")), index

    def weights(self, store: ObjectStore, index: int) -> dict[str, Float[np.ndarray, "models ..."]]:
        """Return the stored weights of a shard's models; empty for an algorithm that stores none."""
        return _weights(self._read(store, index))

    def logits(self, store: ObjectStore, models: int) -> Float[np.ndarray, "models targets classes"]:
        """Return the logits of the first models."""
        count = shards_of(models, self.shard_size)
        return np.concatenate([self._read(store, i).arrays["logits"] for i in range(count)])[:models]

    def _read(self, store: ObjectStore, index: int) -> TensorObject:
        return read_tensors(store, shard_key(self.folder, index), self.identity)


def _weights(content: TensorObject) -> dict[str, Float[np.ndarray, "models ..."]]:
    return {n.removeprefix(WEIGHTS): a for n, a in content.arrays.items() if n.startswith(WEIGHTS)}
