"""Stages: train models again without the examples that a datamodel calls most helpful, and judge what it predicted.

For each chosen target the `top_k` examples of largest weight are taken out of the training set. A model is then trained
on what the design would have drawn for it without them, at the design's fraction, with the number and the seed that it
had with them. Only the first models are used, which no regression has seen; with the examples they stand in the
training's own shards. So a check asks what the score asks, of masks that were chosen to matter.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.errors import DamagedObject
from modeldiff_core.evaluation.counterfactual import SamplerWithout, agreement, most_helpful, predicted_change
from modeldiff_core.identity import digest, generator
from modeldiff_core.report.counterfactual import RemovalFacts, render_counterfactual
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.probe import tuned_execution
from modeldiff_core.stages.references import Reference, open_store, refer
from modeldiff_core.stages.regression import Regression
from modeldiff_core.store import (
    ObjectStore,
    StoreSettings,
    TensorObject,
    read_record,
    read_shard,
    read_tensors,
    write_record,
    write_tensors,
)
from modeldiff_core.study import Training, parse_study, shards_of
from modeldiff_core.study.adopted import parse
from modeldiff_core.study.counterfactual import CounterfactualConfig
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
        """Where the margins without them stand."""
        identity = {
            "version": VERSION, "training": digest(self.training.identity), "target": self.target,
            "datamodels": self.regression.reference.digest, "top_k": self.top_k, "models": self.models,
        }  # fmt: skip
        return refer(self.training.prefix, "counterfactual", identity, record="{key}.safetensors")

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a worker in another process."""
        return {
            "training": self.training.to_json(), "regression": self.regression.to_json(), "target": self.target,
            "top_k": self.top_k, "models": self.models,
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Removal":
        """What to_json gave."""
        training, regression = Training.from_json(content["training"]), Regression.from_json(content["regression"])
        return cls(training, regression, content["target"], content["top_k"], content["models"])


@dataclass(frozen=True)
class Counterfactual:
    """A comparison's counterfactual check: both algorithms, the same targets."""

    comparison: Comparison
    settings: CounterfactualConfig

    def targets(self) -> list[int]:
        """The targets as given, or drawn from all of the study's."""
        if not isinstance(self.settings.targets, int):
            return list(self.settings.targets)
        among = self.comparison.trainings[0].targets
        drawn = generator("counterfactual targets", self.settings.seed).permutation(among)
        return sorted(drawn[: self.settings.targets].tolist())

    def removals(self, which: int) -> list[Removal]:
        """One removal a target, of algorithm A (0) or B (1)."""
        training = self.comparison.trainings[which]
        fit = self.comparison.regression(training, None)
        top_k, models = self.settings.top_k, self.settings.models
        return [Removal(training, fit, target, top_k, models) for target in self.targets()]

    @property
    def record(self) -> Reference:
        """Where the verdict stands, written after its page and figure."""
        identity = [[removal.reference.digest for removal in self.removals(which)] for which in (0, 1)]
        return refer(self.comparison.folder, "counterfactual", {"version": VERSION, "removals": identity})

    @property
    def page(self) -> str:
        """Where the page stands."""
        return f"{self.record.key}/index.html"


def train_without(store: dict[str, Any], removal: dict[str, Any], execution: dict[str, Any]) -> dict[str, Any]:
    """Train the models of one removal unless they are there and intact."""
    spec, objects = Removal.from_json(removal), open_store(store)
    try:
        read_tensors(objects, spec.reference.record, _identity(spec))
    except (FileNotFoundError, DamagedObject):
        task = spec.training.task()
        weights = _weights(objects, spec)
        removed = most_helpful(weights, spec.top_k)
        design = spec.training.sampler(len(task.train))
        without = SamplerWithout(design.n_train, design.fraction, design.seed, tuple(removed.tolist()))
        way = tuned_execution(StoreSettings(**store), spec.training, "subsets", Execution(**execution))
        trained = train_subset_models(task, without, range(spec.models), way)
        masks, before, valid = _models_with(objects, spec)
        arrays = {
            "removed": removed,
            "predicted": predicted_change(weights, masks, trained.masks),
            "actual": (trained.margins[:, spec.target] - before).astype(np.float64),
            "valid": valid & ~trained.diverged,
        }
        write_tensors(objects, spec.reference.record, TensorObject(arrays, _identity(spec), {"target": spec.target}))
    return spec.reference.to_json()


def judge(store: dict[str, Any], study: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Write predicted and actual changes of every target with their correlation, and a page that shows them."""
    objects = open_store(store)
    check = Counterfactual(Comparison.of(parse_study(study)), parse(CounterfactualConfig, asked))
    algorithms, facts = {}, []
    configs = (check.comparison.study.algorithm_a, check.comparison.study.algorithm_b)
    for which, config in enumerate(configs):
        removals = check.removals(which)
        read = [read_tensors(objects, r.reference.record, _identity(r)).arrays for r in removals]
        valid = np.all([arrays["valid"] for arrays in read], axis=0)
        predicted, actual = (np.stack([a[name][valid] for a in read], axis=1) for name in ("predicted", "actual"))
        found = agreement(predicted, actual)
        facts.append(RemovalFacts(config.name, predicted, actual, found))
        algorithms["ab"[which]] = {
            "name": config.name,
            "training": check.comparison.trainings[which].prefix,
            **asdict(found),
            "models": int(valid.sum()),
            "changes": [
                {
                    "target": removal.target, "removed": arrays["removed"].tolist(),
                    "predicted": float(predicted[:, i].mean()), "actual": float(actual[:, i].mean()),
                }
                for i, (removal, arrays) in enumerate(zip(removals, read, strict=True))
            ],
        }  # fmt: skip
    study_name, subsets = check.comparison.study.name, check.comparison.study.subsets
    files = render_counterfactual(study_name, check.settings.top_k, subsets.fraction, check.targets(), facts)
    for name, content in files.items():
        objects.write(f"{check.record.key}/{name}", content)
    record = {
        "digest": check.record.digest, "study": study_name, "settings": asked,
        "fraction": subsets.fraction, "algorithms": algorithms,
    }  # fmt: skip
    write_record(objects, check.record.record, record)
    return check.record.to_json()


def _identity(spec: Removal) -> dict[str, Any]:
    return {"counterfactual": spec.reference.digest}


def _weights(objects: ObjectStore, spec: Removal) -> Float[np.ndarray, " train"]:
    """The target's datamodel, from the block that holds it."""
    reference = spec.regression.reference
    for key in read_record(objects, reference.record)["blocks"]:
        start, stop = (int(number) for number in key.removesuffix(".safetensors").rsplit("-", 2)[1:])
        if start <= spec.target < stop:
            block = read_tensors(objects, key, {"datamodels": reference.digest})
            return np.asarray(block.arrays["weights"][spec.target - start])
    raise DamagedObject(f"{objects.url(reference.record)}: names no block of target {spec.target}")


Models = tuple[Bool[np.ndarray, "models train"], Float[np.ndarray, " models"], Bool[np.ndarray, " models"]]


def _models_with(objects: ObjectStore, spec: Removal) -> Models:
    """Masks, margins of the target and validity of the same models with the examples, from the training's shards."""
    training = spec.training
    shards = [
        read_shard(objects, training.subsets, index, training.identity)
        for index in range(shards_of(spec.models, training.shard_size))
    ]
    masks = np.concatenate([shard.masks for shard in shards])[: spec.models]
    margins = np.concatenate([shard.margins[:, spec.target] for shard in shards])[: spec.models]
    diverged = np.concatenate([shard.diverged for shard in shards])[: spec.models]
    return masks, margins, ~diverged
