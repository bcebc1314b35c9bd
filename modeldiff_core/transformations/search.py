"""Search: propose transformations along a direction, rank them on one half, put the best to the test on the other.

Both the test images and the full-data models are halved: what chance gave one half of the models must not be tested
with the same models, or the best of many candidates would look real where nothing differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float, Int

from modeldiff_core.data import Examples
from modeldiff_core.data.kinds import PICTURES
from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.limits import Limit, check_limits
from modeldiff_core.training.protocol import TrainedModels
from modeldiff_core.transformations.candidates import TransformationTest, build_on
from modeldiff_core.transformations.effects import Changes, EffectSettings, eligible_images, measure
from modeldiff_core.transformations.ends import OrderedExamples
from modeldiff_core.transformations.named_proposals import propose_named
from modeldiff_core.transformations.proposals import propose

LEAST_MODELS = 4
"""Two models of each algorithm in each half."""
FEW_MODELS = 8
"""With fewer, tests of the confirming half allow for a variance of models that is hardly known, and confirm little."""


@dataclass(frozen=True)
class SearchSettings:
    """Where transformations are searched for, and how many.

    directions: most significant directions of a side that are searched, 0 for none. candidates: most transformations
    ranked for a direction. confirmed: how many of the best of each are put to the test. share: of all examples that
    make an end of a direction. seed: decides the halves.
    """

    directions: Annotated[int, Limit(least=0)] = 4
    candidates: Annotated[int, Limit(least=1)] = 24
    confirmed: Annotated[int, Limit(least=1)] = 3
    share: Annotated[float, Limit(above=0, most=0.5)] = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        check = Check("search")
        check_limits(self, check)
        check(self.confirmed <= self.candidates, "confirmed", f"1 to candidates ({self.candidates})", self.confirmed)


Halves = tuple[Int[np.ndarray, " ranking"], Int[np.ndarray, " confirming"]]


def image_halves(targets: int, seed: int) -> Halves:
    """Sorted positions of the targets that candidates are proposed from and ranked on, and of those that confirm."""
    order = generator("search halves", seed).permutation(targets)
    return np.sort(order[: targets // 2]), np.sort(order[targets // 2 :])


def model_halves(models: int) -> tuple[range, range]:
    """Return the models that rank and those that confirm."""
    return range((models + 1) // 2), range((models + 1) // 2, models)


def measure_tests(
    models: TrainedModels,
    examples: Examples,
    tests: Sequence[TransformationTest],
    effects: EffectSettings,
    intensities: Sequence[float] | None = None,
) -> list[Changes]:
    """Changes [intensities, models, images] of each test on the eligible ones of the examples, in float32.

    intensities: each test's own if not given. Which images are marked as planted plays no part, since a search must
    not know.
    """
    shown: dict[int | None, tuple[Examples, np.ndarray]] = {}
    out = []
    for test in tests:
        if test.target_class not in shown:
            chosen = eligible_images(examples.labels, {}, test.target_class, effects.max_images, effects.seed)
            of_class = examples.select(chosen)
            shown[test.target_class] = of_class, models.logits(of_class.images)
        seen, before = shown[test.target_class]
        transformation = build_on(test, seen)
        levels = test.intensities if intensities is None else intensities
        found = measure(models, transformation, seen.images, seen.labels, levels, test.target_class, before)
        out.append(Changes(found.probability.astype(np.float32), found.margin.astype(np.float32)))
    return out


def joined(groups: Sequence[Sequence[Changes]], rows: slice) -> list[Changes]:
    """For each test the changes of some rows of all models, from the changes of each group of models."""
    return [
        Changes(
            np.concatenate([part.probability for part in parts], axis=1)[:, rows],
            np.concatenate([part.margin for part in parts], axis=1)[:, rows],
        )
        for parts in zip(*groups, strict=True)
    ]


def best(
    effects_a: Float[np.ndarray, " candidates"], effects_b: Float[np.ndarray, " candidates"], count: int
) -> Int[np.ndarray, " finalists"]:
    """Return the candidates of the largest |A's effect − B's|, best first."""
    return np.asarray(np.argsort(-np.abs(effects_a - effects_b), kind="stable")[:count])


def proposals(
    targets: OrderedExamples, train: OrderedExamples, settings: SearchSettings
) -> tuple[TransformationTest, ...]:
    """Candidates along a direction, from the training examples and the ranking half of all test examples."""
    half, _ = image_halves(len(targets.examples), settings.seed)
    own = propose if targets.examples.kind == PICTURES else propose_named
    return own(
        OrderedExamples(targets.examples.select(half), targets.values[half]), train, settings.share, settings.candidates
    )


def check_models(models: int) -> None:
    """Raise ConfigError for fewer full-data models than two halves need."""
    if models < LEAST_MODELS:
        hint = "The search ranks with one half of them and confirms with the other; search.directions=0 leaves it out"
        raise ConfigError("ensemble.models", f"{LEAST_MODELS} or more", models, hint)


def check_halves(labels: Int[np.ndarray, " targets"], settings: SearchSettings, *, classed: bool = True) -> None:
    """Raise ConfigError where a half of the test images holds fewer than 2 that are not of one and the same class.

    classed: whether labels are classes; without classes 2 of a half are enough.
    """
    for half in image_halves(len(labels), settings.seed):
        others = len(half) - int(np.bincount(labels[half], minlength=1).max() if classed else 0)
        if others < 2:
            hint = "The search ranks on one half of them and confirms on the other; search.directions=0 leaves it out"
            raise ConfigError("targets", "halves with 2 test images or more beside each class", len(labels), hint)
