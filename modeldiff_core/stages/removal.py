"""Stages: the group of training examples behind a confirmed difference, and full-data models trained without it.

The group rests on subset models alone. What is removed is judged on full-data models and test images that neither
proposed nor ranked the transformation: those of the confirming half, and models beyond them if more are asked for.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from modeldiff_core.comparison.contrast import Contrast, Fits, Sample, centered, contrast_of
from modeldiff_core.data import Examples
from modeldiff_core.designs import Everything, Without
from modeldiff_core.evaluation.removal import (
    Added,
    Group,
    at_end,
    behind,
    beyond_class,
    leading_class,
    nested,
    predicted_shrinkage,
    random_groups,
)
from modeldiff_core.plan import Cost, Label, Record, Reference, Step, Tensors, refer
from modeldiff_core.plan.products import read_digested
from modeldiff_core.responses.probe import tuned_execution
from modeldiff_core.stages.contrast import read_sample
from modeldiff_core.stages.directions import FOLDER, Pair
from modeldiff_core.stages.search import BOTH, Search, Which, read_finalists
from modeldiff_core.store import ObjectStore, TensorObject, read_tensors, write_record, write_tensors
from modeldiff_core.subpopulations import furthest, in_words, shared
from modeldiff_core.training import Execution, train_ensemble
from modeldiff_core.transformations import Changes, Measured, TransformationTest, build_on
from modeldiff_core.transformations.search import image_halves, measure_tests, model_halves

VERSION = 2
"""1 signed what is added by the side of the direction, on which the algorithm that reacts need not be."""


@dataclass(frozen=True)
class Behind:
    """What is behind a difference along the direction of a search, which finalist number `finalist` shows.

    share, parts, random, seed: see ``study.removal.RemovalConfig``.
    """

    search: Search
    finalist: int
    share: float
    parts: tuple[float, ...]
    random: int
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the groups."""
        return {
            "version": VERSION,
            "finalists": [self.search.finalists(which).digest for which in BOTH],
            "finalist": self.finalist,
            "share": self.share,
            "parts": list(self.parts),
            "random": self.random,
            "seed": self.seed,
        }

    @property
    def reference(self) -> Reference:
        """Where the groups are stored."""
        return refer(FOLDER, "behind", self.identity)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that finds them."""
        needs = (self.search.pair.directions, *(self.search.finalists(which) for which in BOTH))
        return Step(name, Record(self.reference), find_group, self, needs, label, Cost(10.0))

    def measured(self, store: ObjectStore) -> Measured:
        """Return what the search measured of the transformation."""
        return read_finalists(store, self.search)[self.finalist]


def find_group(store: ObjectStore, spec: Behind) -> None:
    """Store the group, its parts, random groups, what they are predicted to change, and what the group shares."""
    search, measured = spec.search, spec.measured(store)
    task, classes = search.trainings[0].task(), search.trainings[0].load().classes
    added = _added(store, search, task.targets, measured)
    group = behind_effect(added, task.train, measured, spec.share)
    sizes = nested(len(group.examples), spec.parts)
    random, short = random_groups(task.train.labels, group.examples, spec.random, spec.seed)
    members = np.zeros(len(task.train), dtype=bool)
    members[group.examples] = True
    content = {
        "digest": spec.reference.digest,
        "order": group.order,
        "class": classes[group.label],
        "classes": dict(Counter(classes[at] for at in task.train.labels[group.examples].tolist()).most_common()),
        "of_class": int((task.train.labels == group.label).sum()),
        "train": group.examples.tolist(),
        "sizes": sizes,
        "random": [one.tolist() for one in random],
        "other_classes": short,
        "predicted": predictions(group, added, (sizes, random), measured),
        "words": in_words(shared(task.train, members, classes)),
    }
    write_record(store, spec.reference.record, content)


def behind_effect(added: Added, train: Examples, measured: Measured, share: float) -> Group:
    """Return the group of training examples behind a transformation's effect, which holds `share` of its order."""
    change = _sense(measured) * mean_change(measured.test, train, leading_class(added.contrast, train.labels))
    return behind(added, train.images, train.labels, change, share)


def predictions(
    group: Group, added: Added, removed: tuple[list[int], list[Int[np.ndarray, " group"]]], measured: Measured
) -> list[float]:
    """Return predicted shrinkages without the first so many of the group, and without each of some other groups."""
    sizes, others = removed
    lost = [*(group.lost[size - 1] for size in sizes), *(added.margins.mean(0)[one].sum() for one in others)]
    effect = measured.probability.difference[-1].mean
    return [predicted_shrinkage(float(one), group.attributed, effect) for one in lost]


def read_group(store: ObjectStore, spec: Behind) -> dict[str, Any]:
    """Return the stored groups, checked."""
    return read_digested(store, spec.reference)


def removals_of(record: dict[str, Any]) -> list[list[int]]:
    """Return what is removed, one after another: nothing, the parts of the group, the whole group, random groups."""
    return [[], *(record["train"][:size] for size in record["sizes"]), *record["random"]]


def _added(store: ObjectStore, search: Search, targets: Examples, measured: Measured) -> Added:
    """Return what each training example adds to the difference at the end that looks as transformed images do."""
    stored = read_tensors(store, search.pair.directions.record, {"directions": search.pair.directions.digest})
    projections = stored.arrays[f"{search.side}.projections"][:, search.index]
    pair = search.pair
    if not isinstance(pair, Pair):
        raise TypeError(f"expected a comparison of subset models, got {type(pair).__name__}")
    sample = read_sample(store, pair)
    fits = sample.fits()
    differences: Any = stored.facts.get("differences", 1)
    contrast = contrast_of(sample, fits, pair.hypothesis).naming(differences)
    end = looks_like(measured, targets, projections)
    return added_at(sample, fits, contrast, measured, (furthest(end * projections, search.settings.share), targets))


def added_at(
    sample: Sample,
    fits: Fits,
    contrast: Contrast,
    measured: Measured,
    at: tuple[Bool[np.ndarray, " targets"], Examples],
) -> Added:
    """Return what each training example adds to the difference of which a transformation's effect is a sign.

    Signed for the algorithm that reacts more to the transformation, whose effect is to shrink: a direction may lie on
    the side of the other, which depends on the same examples in another way.

    Args:
        sample: The margins.
        fits: Their datamodels.
        contrast: Of the comparison.
        measured: The transformation's effects.
        at: Which test images are at the end of the direction, and all of them.
    """
    members, targets = at
    sense = 1 if _a_reacts(measured) else -1
    unit_a, unit_b = sample.units.astype(np.float32)[:, :, None]
    first, second = (unit_a * a - unit_b * b for a, b in zip(fits.a, fits.b, strict=True))
    return Added(
        sense * at_end(centered(contrast.rows(fits)[0]), members),
        sense * beyond_class((first, second), members, targets.labels),
    )


def looks_like(measured: Measured, targets: Examples, projections: Float[np.ndarray, " targets"]) -> int:
    """Return 1 or −1: the end of a direction whose images look as the transformation makes the reaction grow.

    By the sign of the correlation of projections with how far images lie along the mean change of their class.
    """
    test = measured.test
    classes = np.unique(targets.labels) if test.target_class is None else [test.target_class]
    together = 0.0
    for label in classes:
        of_class = np.flatnonzero(targets.labels == label)
        if len(of_class) < 2:
            continue
        change = _sense(measured) * mean_change(test, targets, int(label))
        pictures = targets.images[of_class].reshape(len(of_class), -1).astype(np.float64)
        along = (pictures - pictures.mean(0)) @ change.ravel()
        own = projections[of_class] - projections[of_class].mean()
        together += float(along @ own) / max(float(np.linalg.norm(along)), 1e-12)
    return -1 if together < 0 else 1


def _a_reacts(measured: Measured) -> bool:
    """Return whether A reacts to the transformation at least as much as B."""
    return abs(measured.probability.a[-1].mean) >= abs(measured.probability.b[-1].mean)


def _sense(measured: Measured) -> int:
    """Return 1 where the algorithm that reacts more gains probability under the transformation, else −1."""
    effects = measured.probability.a if _a_reacts(measured) else measured.probability.b
    return 1 if effects[-1].mean >= 0 else -1


def mean_change(test: TransformationTest, examples: Examples, label: int) -> Float[np.ndarray, "height width channels"]:
    """Return the mean change of a class's images at full intensity, in pixel values; zero without any."""
    own = examples.select(np.flatnonzero(examples.labels == label))
    if not len(own):
        return np.zeros(examples.images.shape[1:])
    after = build_on(test, own)(own.images, test.intensities[-1])
    return np.asarray((after.astype(np.float64) - own.images).mean(0))


@dataclass(frozen=True)
class WithoutGroup:
    """Full-data models of one algorithm without the examples of removal number `number` (``removals_of``)."""

    behind: Behind
    which: Which
    number: int
    models: int

    @property
    def reference(self) -> Reference:
        """Where the changes under the transformation are stored."""
        identity = {"behind": self.behind.identity, "number": self.number, "models": self.models}
        training = self.behind.search.training(self.which)
        return refer(training.prefix, "removed", identity, record="{key}.safetensors")

    @property
    def numbers(self) -> range:
        """Numbers of the models: those that did not rank the transformation, and further ones."""
        first = model_halves(self.behind.search.models)[1].start
        return range(first, first + self.models)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that trains them and shows them the transformation."""
        reference = self.reference
        made, cost = Tensors(reference, {"removed": reference.digest}), Cost(0.05 * self.models, units=self.models)
        needs = (self.behind.reference,)
        return Step(name, made, train_without_group, self, needs, label, cost, on_device=True, memoized=False)


def train_without_group(store: ObjectStore, spec: WithoutGroup, execution: Execution) -> None:
    """Store what the transformation changes for models trained without a group, on the confirming half of images."""
    search, removed = spec.behind.search, removals_of(read_group(store, spec.behind))[spec.number]
    training = search.training(spec.which)
    task, test = training.task(), spec.behind.measured(store).test
    masks = Without(Everything(len(task.train)), tuple(removed)).masks(spec.numbers)
    way = tuned_execution(store.settings, training, "ensemble", execution)
    trained, _ = train_ensemble(task, spec.numbers, way, masks)
    _, half = image_halves(len(task.targets), search.settings.seed)
    (found,) = measure_tests(trained, task.targets.select(half), [test], search.effects, test.intensities[-1:])
    arrays = {
        "probability": found.probability[0],
        "margin": found.margin[0],
        "removed": np.array(removed, dtype=np.int64),
    }
    reference = spec.reference
    facts = {"first_model": spec.numbers.start}
    write_tensors(store, reference.record, TensorObject(arrays, {"removed": reference.digest}, facts))


def read_without(store: ObjectStore, spec: WithoutGroup) -> tuple[Changes, Int[np.ndarray, " removed"]]:
    """Return changes of probability and margin [models, images], and what was removed, checked."""
    arrays = read_tensors(store, spec.reference.record, {"removed": spec.reference.digest}).arrays
    return Changes(arrays["probability"], arrays["margin"]), arrays["removed"]
