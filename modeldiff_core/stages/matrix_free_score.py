"""Stages: forward products along the masks of held-out models, and how well they predict these models."""

import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float

from modeldiff_core.errors import Diverged
from modeldiff_core.evaluation.lds import scores_of_predictions
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.metagradients import forward_products
from modeldiff_core.plan import Array, Cost, Label, Record, Reference, Step, Tensors, refer
from modeldiff_core.responses import FullModels
from modeldiff_core.stages.effects import full_models
from modeldiff_core.stages.products import AT_ONCE, Derived, read_finite, write_products
from modeldiff_core.store import MarginMatrix, ObjectStore, write_record
from modeldiff_core.study import Training
from modeldiff_core.training import Execution
from modeldiff_core.training.devices import available_device, fast_arithmetic

VERSION = 1


@dataclass(frozen=True)
class MaskProducts:
    """Forward products of one training along the masks of the first `masks` subset models."""

    derived: Derived
    masks: int

    @property
    def product(self) -> Tensors:
        """Where they are: products [masks, targets], and whether they are finite."""
        shape = {"masks": self.masks, "targets": self.derived.training.targets}
        identity = {**self.derived.identity, "masks": self.masks}
        arrays = Array("products", shape), Array("finite", {"one": 1})
        return Tensors.of(self.derived.folder, f"masks-{self.derived.number:05d}", identity, *arrays)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes them."""
        cost = Cost(4e-5 * self.masks * self.derived.units, 4 * self.masks * self.derived.training.targets)
        return Step(name, self.product, make_mask_products, self, (), label, cost, on_device=True)


@dataclass(frozen=True)
class MatrixFreeScore:
    """How well the sum of some trainings' products along the held-out masks predicts the models on these masks.

    matrix: of the held-out models. full_models: whose accuracy is reported beside it.
    """

    products: tuple[MaskProducts, ...]
    matrix: Reference
    full_models: int

    @property
    def training(self) -> Training:
        """Of the algorithm."""
        return self.products[0].derived.training

    @property
    def reference(self) -> Reference:
        """Where the scores are."""
        identity = {
            "version": VERSION,
            "products": [one.product.reference.digest for one in self.products],
            "matrix": self.matrix.digest,
            "ensemble": self.full_models,
        }
        return refer(self.training.prefix, "matrix-free-scores", identity)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes it."""
        needs = (
            self.matrix,
            *(one.product.reference for one in self.products),
            *full_models(self.training, self.full_models),
        )
        return Step(name, Record(self.reference), score_products, self, needs, label)


def make_mask_products(store: ObjectStore, spec: MaskProducts, execution: Execution) -> None:
    """Run a training, carry every mask less its mean through it and store the products; zeros if it diverged."""
    training = spec.derived.training
    masks = training.design(spec.derived.units).masks(range(spec.masks))
    along = torch.from_numpy(masks - training.fraction)
    began = time.process_time()
    with fast_arithmetic(available_device(execution.device)):
        trajectory = spec.derived.run(execution)
        parts = [forward_products(trajectory, part) for part in along.split(AT_ONCE)]
    write_products(store, spec.product, torch.cat(parts).cpu().numpy(), began)


def score_products(store: ObjectStore, spec: MatrixFreeScore) -> None:
    """Write accuracies, how many models diverged, and the scores.

    Raises Diverged if no training has derivatives that are finite.
    """
    labels, output = spec.training.task().targets.labels, OUTPUTS.get(spec.training.output)
    matrix = MarginMatrix.open(store, spec.matrix.key)
    margins, valid = matrix.margins(), matrix.valid()
    found = [one for made in spec.products if (one := read_finite(store, made.product)) is not None]
    if not found:
        raise Diverged("no training has derivatives that are finite. Lower recipe.learning_rate")
    predicted: Float[np.ndarray, "masks targets"] = np.asarray(np.mean(found, axis=0, dtype=np.float64))
    scores = scores_of_predictions(predicted[valid], matrix.masks()[valid], margins[valid])
    logits = FullModels(spec.training).logits(store, spec.full_models)
    right = output.right_above
    record = {
        "digest": spec.reference.digest,
        "ensemble_accuracy": float((logits.argmax(-1) == labels).mean()),
        "lds": asdict(scores.spearman),
        "pearson": asdict(scores.pearson),
        "r2": None,
        "subset_accuracy": None if right is None else float((margins[valid] > right).mean()),
        "models": int(valid.sum()),
        "diverged": len(matrix.record["diverged"]),
        **({"left_out": len(matrix.left_out)} if matrix.left_out else {}),
        "trainings": len(found),
    }
    write_record(store, spec.reference.record, record)
