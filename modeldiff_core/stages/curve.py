"""Stage: the learning curve of a training: its score after growing numbers of models, one stored point each.

A point depends on the one before it and on the first models of the training alone, so adaptive rounds and a plain run
of as many models store the same points, whatever was interrupted in between.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from modeldiff_core.evaluation.curve import MaskedMargins, Point, next_point
from modeldiff_core.evaluation.law import LearningCurve
from modeldiff_core.evaluation.rounds import round_sizes
from modeldiff_core.identity import digest, generator, short_digest
from modeldiff_core.stages.references import Reference, open_store
from modeldiff_core.store import ObjectStore, Shard, TensorObject, read_shards, read_tensors, shard_key, write_tensors
from modeldiff_core.study import StudyConfig, Training, shards_of

VERSION = 1
LASSO = ("n_lambdas", "lambda_min_ratio", "validation_fraction", "seed")
"""Settings of the study's regression that decide a point."""


@dataclass(frozen=True)
class Curve:
    """The learning curve of a training; how far it is followed is no part of what its points are.

    held: the first models, which every point is scored on. followed: how many targets are. Points are the lasso's
    whichever estimator the comparison rests on, since only it starts warm.
    """

    training: Training
    held: int
    growth: float
    followed: int
    lasso: dict[str, Any]

    @classmethod
    def of(cls, study: StudyConfig, training: Training) -> "Curve":
        """The curve of one of a study's trainings."""
        subsets, settings = study.subsets, study.regression.model_dump()
        rounds = subsets.rounds
        lasso = {name: settings[name] for name in LASSO}
        return cls(training, subsets.evaluation_models, rounds.growth, min(rounds.targets, training.targets), lasso)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides every point."""
        return {
            "version": VERSION, "training": digest(self.training.identity), "held": self.held, "growth": self.growth,
            "targets": self.followed, "lasso": self.lasso,
        }  # fmt: skip

    def sizes(self, budget: int) -> tuple[int, ...]:
        """Models behind each point, held-out ones among them, up to the budget."""
        return round_sizes(budget, self.held, self.growth, self.training.shard_size)

    def point(self, models: int) -> Reference:
        """Where the point of the first so many models stands."""
        folder = f"{self.training.prefix}/curve-{short_digest(self.identity)}"
        identity = {"curve": digest(self.identity), "models": models}
        return Reference(folder, digest(identity), f"{folder}/{models:06d}.safetensors")

    def weights_key(self, models: int) -> str:
        """Where the weights of that point stand, which the next one starts from."""
        return self.point(models).record.replace(".safetensors", ".weights.safetensors")

    def complete(self, store: ObjectStore, budget: int) -> bool:
        """Whether every point up to the budget is there."""
        return all(self.point(size).complete(store) for size in self.sizes(budget))

    def targets(self) -> Int[np.ndarray, " targets"]:
        """The targets that are followed."""
        drawn = generator("learning curve", self.training.targets).permutation(self.training.targets)
        return np.sort(drawn[: self.followed])

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a worker in another process."""
        return {
            "training": self.training.to_json(), "held": self.held, "growth": self.growth, "followed": self.followed,
            "lasso": self.lasso,
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Curve":
        """What to_json gave."""
        return cls(**{**content, "training": Training.from_json(content["training"])})


def follow_curve(store: dict[str, Any], curve: dict[str, Any], budget: int) -> dict[str, Any]:
    """Store the points that are missing up to the budget, or remove the shards that turn out damaged and name them."""
    objects, spec = open_store(store), Curve.from_json(curve)
    sizes = spec.sizes(budget)
    done = [spec.point(size).complete(objects) for size in sizes]
    first = done.index(False) if False in done else len(sizes)
    result = spec.point(sizes[-1]).to_json()
    if first == len(sizes):
        return {**result, "damaged": {}}
    rows, damaged = _first_models(objects, spec, budget)
    if damaged:
        for index in damaged:
            objects.delete(shard_key(spec.training.subsets, index))
        return {**result, "damaged": {str(index): why for index, why in damaged.items()}}
    masks, margins, valid = rows
    held = valid & (np.arange(budget) < spec.held)
    held_out = MaskedMargins(masks[held], margins[held])
    point = _read_point(objects, spec, sizes[first - 1]) if first else None
    for size in sizes[first:]:
        fitted = valid & (np.arange(budget) >= spec.held) & (np.arange(budget) < size)
        models = MaskedMargins(masks[fitted], margins[fitted])
        point = next_point(point, models, held_out, **spec.lasso)
        _write_point(objects, spec, size, point)
    return {**result, "damaged": {}}


def read_curve(store: ObjectStore, curve: Curve, budget: int) -> LearningCurve | None:
    """The points up to the budget as far as they are there, checked; None if there are none."""
    sizes = curve.sizes(budget)
    done = [curve.point(size).complete(store) for size in sizes]
    points = [_read_scores(store, curve, size) for size in sizes[: done.index(False) if False in done else len(sizes)]]
    if not points:
        return None
    return LearningCurve(np.array([models for models, _ in points]), np.stack([scores for _, scores in points]))


Rows = tuple[Bool[np.ndarray, "models train"], Float[np.ndarray, "models targets"], Bool[np.ndarray, " models"]]


def _first_models(objects: ObjectStore, spec: Curve, models: int) -> tuple[Rows, dict[int, str]]:
    """Masks, margins of the followed targets and validity of the first models, or what is wrong with their shards."""
    training, targets = spec.training, spec.targets()
    masks = np.zeros((models, len(training.load().train)), dtype=bool)
    margins = np.zeros((models, len(targets)), np.float32)
    valid = np.zeros(models, dtype=bool)
    damaged: dict[int, str] = {}
    indices = range(shards_of(models, training.shard_size))
    for index, found in read_shards(objects, training.subsets, indices, training.identity):
        if not isinstance(found, Shard):
            damaged[index] = str(found)
            continue
        part = slice(found.first, min(models, found.first + len(found.masks)))
        count = part.stop - part.start
        masks[part] = found.masks[:count]
        margins[part] = found.margins[:count, targets]
        valid[part] = ~found.diverged[:count]
    return (masks, margins, valid), damaged


def _write_point(objects: ObjectStore, spec: Curve, size: int, point: Point) -> None:
    """The weights, which only the next point needs, apart from the scores, whose object makes the point complete."""
    identity, facts = {"curve": spec.point(size).digest}, {"models": point.models}
    fitted = {"weights": point.weights, "steps": point.steps}
    write_tensors(objects, spec.weights_key(size), TensorObject(fitted, identity, facts))
    write_tensors(objects, spec.point(size).record, TensorObject({"scores": point.scores}, identity, facts))


def _read_point(objects: ObjectStore, spec: Curve, size: int) -> Point:
    identity = {"curve": spec.point(size).digest}
    fitted = read_tensors(objects, spec.weights_key(size), identity).arrays
    models, scores = _read_scores(objects, spec, size)
    return Point(models, fitted["weights"], fitted["steps"], scores)


def _read_scores(objects: ObjectStore, spec: Curve, size: int) -> tuple[int, Float[np.ndarray, " targets"]]:
    content = read_tensors(objects, spec.point(size).record, {"curve": spec.point(size).digest})
    return int(str(content.facts["models"])), content.arrays["scores"]
