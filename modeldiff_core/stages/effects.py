"""Stage: the effect of one transformation on the full-data models of one training."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from modeldiff_core.errors import DamagedObject
from modeldiff_core.plan import Array, Cost, Label, Reference, Step, Tensors, refer
from modeldiff_core.responses import FullModels, shards_of
from modeldiff_core.store import ObjectStore, TensorObject, read_tensors, write_tensors
from modeldiff_core.study import Training
from modeldiff_core.study.code import code_of
from modeldiff_core.training import Execution
from modeldiff_core.transformations import (
    TRANSFORMATIONS,
    Changes,
    EffectSettings,
    TransformationTest,
    build_on,
    eligible_images,
    measure,
)
from modeldiff_core.transformations.defaults import identity_of

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
        """Where the changes of probability are stored; the transformation's name is no part of it."""
        identity = {
            "version": VERSION,
            "training": self.training.digest,
            "models": self.models,
            "test": identity_of(self.test),
            "max_images": self.max_images,
            "seed": self.seed,
        }
        return refer(self.training.prefix, "effects", identity, record="{key}.safetensors")

    @property
    def code(self) -> dict[str, Any]:
        """The code of a transformation that does not ship; part of no key."""
        return code_of(TRANSFORMATIONS.get(self.test.kind))

    @classmethod
    def of(cls, training: Training, models: int, test: TransformationTest, settings: EffectSettings) -> "Effect":
        """Return the effect with the study's choice of images."""
        return cls(training, models, test, settings.max_images, settings.seed)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that measures it."""
        images = len(self.images())
        sizes = {"intensities": len(self.test.intensities), "models": self.models, "images": images}
        arrays = Array("changes", sizes), Array("margins", sizes), Array("images", {"images": images})
        made = Tensors(self.reference, {"effect": self.reference.digest}, arrays)
        return Step(
            name,
            made,
            measure_effect,
            self,
            full_models(self.training, self.models),
            label,
            Cost(1e-4 * self.models * images),
            on_device=True,
            check=check_images,
        )

    def images(self) -> Int[np.ndarray, " chosen"]:
        """Positions of the images among the targets."""
        targets = self.training.task().targets
        return eligible_images(targets.labels, targets.metadata, self.test.target_class, self.max_images, self.seed)


def measure_effect(store: ObjectStore, spec: Effect, execution: Execution) -> None:
    """Store changes of the class's probability and margin [intensities, models, images]."""
    chosen, responses = spec.images(), FullModels(spec.training)
    shown = spec.training.task().targets.select(chosen)
    transformation = build_on(spec.test, shown)
    parts = []
    for index in range(shards_of(spec.models, responses.shard_size)):
        models, _ = responses.load(store, index, execution)
        parts.append(
            measure(models, transformation, shown.images, shown.labels, spec.test.intensities, spec.test.target_class)
        )
    arrays = {
        "changes": np.concatenate([part.probability for part in parts], axis=1)[:, : spec.models].astype(np.float32),
        "margins": np.concatenate([part.margin for part in parts], axis=1)[:, : spec.models].astype(np.float32),
        "images": chosen,
    }
    code = spec.code
    content = TensorObject(arrays, {"effect": spec.reference.digest}, {"code": code} if code else {})
    write_tensors(store, spec.reference.record, content)


def full_models(training: Training, models: int) -> tuple[Reference, ...]:
    """Return the shards of the first full-data models of a training."""
    responses = FullModels(training)
    return tuple(responses.reference(i) for i in range(shards_of(models, responses.shard_size)))


def pairing(trainings: tuple[Training, Training]) -> Literal["independent", "paired"]:
    """Return 'paired' where A's and B's full-data models of one number share a seed, as they do by default."""
    a, b = (training.algorithm.seed for training in trainings)
    return "paired" if a == b else "independent"


def check_images(store: ObjectStore, spec: Effect) -> None:
    """Raise DamagedObject if an effect was measured on other images than those chosen."""
    key = spec.reference.record
    if not np.array_equal(read_tensors(store, key).arrays["images"], spec.images()):
        raise DamagedObject(f"{store.url(key)}: measured on other images than those chosen", keys=(key,))


def read_changes(store: ObjectStore, effect: Effect) -> Changes:
    """Stored changes of the class's probability and margin, checked."""
    arrays = read_tensors(store, effect.reference.record, {"effect": effect.reference.digest}).arrays
    return Changes(arrays["changes"], arrays["margins"])
