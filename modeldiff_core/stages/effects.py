"""Stage: the effect of one transformation on the full-data models of one training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from modeldiff_core.identity import digest, plain
from modeldiff_core.stages.references import Reference, open_store, refer
from modeldiff_core.stages.train import load_ensemble
from modeldiff_core.store import ObjectStore, TensorObject, read_tensors, write_tensors
from modeldiff_core.study import Training, shards_of
from modeldiff_core.training import Execution
from modeldiff_core.transformations import (
    Changes,
    EffectSettings,
    TransformationTest,
    build_on,
    eligible_images,
    measure,
)

VERSION = 2


@dataclass(frozen=True)
class Effect:
    """A transformation applied to chosen test images, as the first `models` full-data models of a training see it."""

    training: Training
    models: int
    test: TransformationTest
    max_images: int
    seed: int

    @property
    def reference(self) -> Reference:
        """Where the changes of probability stand; the transformation's name is no part of it."""
        test = plain(self.test)
        assert isinstance(test, dict)
        test.pop("name")
        identity = {
            "version": VERSION, "training": digest(self.training.identity), "models": self.models, "test": test,
            "max_images": self.max_images, "seed": self.seed,
        }  # fmt: skip
        return refer(self.training.prefix, "effects", identity, record="{key}.safetensors")

    @classmethod
    def of(cls, training: Training, models: int, test: TransformationTest, settings: EffectSettings) -> "Effect":
        """The effect with the study's choice of images."""
        return cls(training, models, test, settings.max_images, settings.seed)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a worker in another process."""
        return {
            "training": self.training.to_json(), "models": self.models, "test": plain(self.test),
            "max_images": self.max_images, "seed": self.seed,
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Effect":
        """What to_json gave."""
        test = {**content["test"], "intensities": tuple(content["test"]["intensities"])}
        return cls(
            Training.from_json(content["training"]), content["models"], TransformationTest(**test),
            content["max_images"], content["seed"],
        )  # fmt: skip

    def images(self) -> Int[np.ndarray, " chosen"]:
        """Positions of the images among the targets."""
        targets = self.training.task().targets
        return eligible_images(targets.labels, targets.metadata, self.test.target_class, self.max_images, self.seed)


def measure_effect(store: dict[str, Any], effect: dict[str, Any], execution: dict[str, Any]) -> dict[str, Any]:
    """Store changes of the class's probability and margin [intensities, models, images]."""
    objects, spec = open_store(store), Effect.from_json(effect)
    chosen = spec.images()
    targets = spec.training.task().targets
    shown = targets.select(chosen)
    transformation = build_on(spec.test, shown)
    parts = []
    for index in range(shards_of(spec.models, spec.training.ensemble_shard_size)):
        models, _ = load_ensemble(store, spec.training, index, Execution(**execution))
        parts.append(
            measure(models, transformation, shown.images, shown.labels, spec.test.intensities, spec.test.target_class)
        )
    arrays = {
        "changes": np.concatenate([part.probability for part in parts], axis=1)[:, : spec.models].astype(np.float32),
        "margins": np.concatenate([part.margin for part in parts], axis=1)[:, : spec.models].astype(np.float32),
        "images": chosen,
    }
    content = TensorObject(arrays, {"effect": spec.reference.digest}, {})
    write_tensors(objects, spec.reference.record, content)
    return spec.reference.to_json()


def read_changes(store: ObjectStore, effect: Effect) -> Changes:
    """Stored changes of the class's probability and margin, checked."""
    arrays = read_tensors(store, effect.reference.record, {"effect": effect.reference.digest}).arrays
    return Changes(arrays["changes"], arrays["margins"])
