"""Stage: the learning curve of a training: its score after growing numbers of models, one stored point each.

A point depends on the one before it and on the first models of the training alone, so adaptive rounds and a plain run
of as many models store the same points, whatever was interrupted in between.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from modeldiff_core.errors import DamagedObject
from modeldiff_core.evaluation.curve import MaskedMargins, Point, next_point
from modeldiff_core.evaluation.law import LearningCurve
from modeldiff_core.evaluation.rounds import round_sizes
from modeldiff_core.identity import digest, generator, short_digest
from modeldiff_core.plan import Array, Cost, Label, Reference, Step
from modeldiff_core.plan.products import read_checked
from modeldiff_core.responses import SubsetModels, shards_of
from modeldiff_core.stages.screening import ScreeningOf
from modeldiff_core.store import ObjectStore, Shard, TensorObject, read_shards, read_tensors, shard_key, write_tensors
from modeldiff_core.study import StudyConfig, Training

VERSION = 1
LASSO = ("n_lambdas", "lambda_min_ratio", "validation_fraction", "seed")
"""Settings of the study's regression that decide a point."""


@dataclass(frozen=True)
class Curve:
    """The learning curve of a training; how far it is followed is no part of what its points are.

    held: the first models, which every point is scored on. followed: how many targets are. Points are the lasso's
    whichever estimator the comparison rests on, since only it starts warm. screening: of a point's own models, so that
    it depends on them alone.
    """

    training: Training
    held: int
    growth: float
    followed: int
    lasso: dict[str, Any]
    screening: ScreeningOf

    @classmethod
    def of(cls, study: StudyConfig, training: Training) -> "Curve":
        """Return the curve of one of a study's trainings."""
        subsets, settings = study.subsets, study.regression.model_dump()
        rounds = subsets.rounds
        lasso = {name: settings[name] for name in LASSO}
        followed, screening = min(rounds.targets, training.targets), ScreeningOf.of(study, training)
        return cls(training, subsets.evaluation_models, rounds.growth, followed, lasso, screening)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides every point."""
        return {
            "version": VERSION,
            "training": self.training.digest,
            "held": self.held,
            "growth": self.growth,
            "targets": self.followed,
            "lasso": self.lasso,
            **({"screening": chosen} if (chosen := self.screening.asked.choices()) else {}),
        }

    def sizes(self, budget: int) -> tuple[int, ...]:
        """Models behind each point, held-out ones among them, up to the budget."""
        return round_sizes(budget, self.held, self.growth, self.training.shard_size)

    def point(self, models: int) -> Reference:
        """Return where the point of the first models is stored."""
        folder = f"{self.training.prefix}/curve-{short_digest(self.identity)}"
        identity = {"curve": digest(self.identity), "models": models}
        return Reference(folder, digest(identity), f"{folder}/{models:06d}.safetensors")

    def targets(self) -> Int[np.ndarray, " targets"]:
        """Return the targets that are followed."""
        drawn = generator("learning curve", self.training.targets).permutation(self.training.targets)
        return np.sort(drawn[: self.followed])

    def complete(self, store: ObjectStore, budget: int) -> bool:
        """Return whether every point up to the budget is there."""
        return all(store.exists(self.point(size).record) for size in self.sizes(budget))

    def to(self, budget: int) -> "CurveSpec":
        """Return the curve up to that many models."""
        return CurveSpec(self, budget)


@dataclass(frozen=True)
class CurveSpec:
    """A learning curve up to a budget of models."""

    curve: Curve
    budget: int

    def step(self, name: str, label: Label) -> Step:
        """Return the step that follows it; every later point is computed from the one before."""
        curve, sizes = self.curve, self.curve.sizes(self.budget)
        responses = SubsetModels(curve.training)
        shards = (responses.reference(i) for i in range(shards_of(self.budget, responses.shard_size)))
        n_train = len(curve.training.load().train)
        points = tuple((size, curve.point(size)) for size in sizes)
        makes = CurvePoints(points[-1][1], points, curve.followed, n_train)
        return Step(name, makes, follow_curve, self, tuple(shards), label, Cost(0.5 * len(sizes)), memoized=False)


@dataclass(frozen=True)
class CurvePoints:
    """The points of a learning curve: scores, and the weights that the next point starts from."""

    reference: Reference
    points: tuple[tuple[int, Reference], ...]
    followed: int
    n_train: int

    def lacking(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        return tuple(key for _, point in self.points for key in _objects(point) if key not in keys)

    def objects(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        return tuple(key for _, point in self.points for key in _objects(point) if key in keys)

    def check(self, store: ObjectStore) -> None:
        for _, point in self.points:
            identity, sizes = {"curve": point.digest}, {"targets": self.followed, "train": self.n_train}
            read_checked(store, point.record, identity, (Array("scores", {"targets": self.followed}),))
            read_checked(store, weights_key(point), identity, (Array("weights", sizes),))


def weights_key(point: Reference) -> str:
    """Return the key of the weights of a point, which the next one starts from."""
    return point.record.replace(".safetensors", ".weights.safetensors")


def _objects(point: Reference) -> tuple[str, str]:
    return point.record, weights_key(point)


def follow_curve(store: ObjectStore, spec: CurveSpec) -> None:
    """Store the points that are missing up to the budget, from the first of them on.

    Raises:
        DamagedObject: That names every damaged shard.

    """
    curve, budget = spec.curve, spec.budget
    sizes = curve.sizes(budget)
    done = [all(store.exists(key) for key in _objects(curve.point(size))) for size in sizes]
    first = done.index(False) if False in done else len(sizes)
    if first == len(sizes):
        return
    masks, margins, finite = _first_models(store, curve, budget)
    point = _read_point(store, curve, sizes[first - 1]) if first else None
    for size in sizes[first:]:
        found = curve.screening.judge(margins[:size], finite[:size])
        valid, held = finite[:size] & ~found.left_out(curve.screening.asked), np.arange(size) < curve.held
        held_out, models = (
            MaskedMargins(masks[:size][rows], margins[:size][rows]) for rows in (valid & held, valid & ~held)
        )
        point = next_point(point, models, held_out, **curve.lasso)
        _write_point(store, curve, size, point)


def read_curve(store: ObjectStore, curve: Curve, budget: int) -> LearningCurve | None:
    """Return the points up to the budget as far as they are there, checked; None if there are none."""
    sizes = curve.sizes(budget)
    done = [store.exists(curve.point(size).record) for size in sizes]
    points = [_read_scores(store, curve, size) for size in sizes[: done.index(False) if False in done else len(sizes)]]
    if not points:
        return None
    return LearningCurve(np.array([models for models, _ in points]), np.stack([scores for _, scores in points]))


Rows = tuple[Bool[np.ndarray, "models train"], Float[np.ndarray, "models targets"], Bool[np.ndarray, " models"]]


def _first_models(store: ObjectStore, spec: Curve, models: int) -> Rows:
    """Return masks, margins of the followed targets and validity of the first models."""
    training, targets = spec.training, spec.targets()
    masks = np.zeros((models, len(training.load().train)), dtype=bool)
    margins = np.zeros((models, len(targets)), np.float32)
    valid = np.zeros(models, dtype=bool)
    damaged: dict[str, str] = {}
    indices = range(shards_of(models, training.shard_size))
    for index, found in read_shards(store, training.subsets, indices, training.identity):
        if not isinstance(found, Shard):
            damaged[shard_key(training.subsets, index)] = str(found)
            continue
        part = slice(found.first, min(models, found.first + len(found.masks)))
        count = part.stop - part.start
        masks[part] = found.masks[:count]
        margins[part] = found.margins[:count, targets]
        valid[part] = ~found.diverged[:count]
    if damaged:
        raise DamagedObject("; ".join(damaged.values()), keys=tuple(damaged))
    return masks, margins, valid


def _write_point(objects: ObjectStore, spec: Curve, size: int, point: Point) -> None:
    """Write the weights, which only the next point needs, then the scores, whose object completes the point."""
    identity, facts = {"curve": spec.point(size).digest}, {"models": point.models}
    fitted = {"weights": point.weights, "steps": point.steps}
    write_tensors(objects, weights_key(spec.point(size)), TensorObject(fitted, identity, facts))
    write_tensors(objects, spec.point(size).record, TensorObject({"scores": point.scores}, identity, facts))


def _read_point(objects: ObjectStore, spec: Curve, size: int) -> Point:
    identity = {"curve": spec.point(size).digest}
    fitted = read_tensors(objects, weights_key(spec.point(size)), identity).arrays
    models, scores = _read_scores(objects, spec, size)
    return Point(models, fitted["weights"], fitted["steps"], scores)


def _read_scores(objects: ObjectStore, spec: Curve, size: int) -> tuple[int, Float[np.ndarray, " targets"]]:
    content = read_tensors(objects, spec.point(size).record, {"curve": spec.point(size).digest})
    return int(str(content.facts["models"])), content.arrays["scores"]
