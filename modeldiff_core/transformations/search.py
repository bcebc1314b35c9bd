"""Search: propose transformations along a direction, rank them on one half, put the best to the test on the other.

Both the test images and the full-data models are halved: what chance gave one half of the models must not be tested
with the same models, or the best of many candidates would look real where nothing differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.training.protocol import TrainedModels
from modeldiff_core.transformations.candidates import TransformationTest, build
from modeldiff_core.transformations.effects import Changes, EffectSettings, eligible_images, measure
from modeldiff_core.transformations.judgement import Judged, judge, read
from modeldiff_core.transformations.library import on_examples
from modeldiff_core.transformations.proposals import Along, propose

LEAST_MODELS = 4
"""Two models of each algorithm in each half."""


@dataclass(frozen=True)
class SearchSettings:
    """Where transformations are searched for, and how many.

    directions: most significant directions of a side that are searched, 0 for none. candidates: most transformations
    ranked for a direction. confirmed: how many of the best of each are put to the test. share: of all examples that
    make an end of a direction. seed: decides the halves.
    """

    directions: int = 4
    candidates: int = 24
    confirmed: int = 3
    share: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        for name, holds, expected in (
            ("directions", self.directions >= 0, "0 or more"),
            ("candidates", self.candidates >= 1, "1 or more"),
            ("confirmed", 1 <= self.confirmed <= self.candidates, f"1 to candidates ({self.candidates})"),
            ("share", 0 < self.share <= 0.5, "a number in (0, 0.5]"),
        ):
            if not holds:
                raise ConfigError(f"search.{name}", expected, getattr(self, name))


Halves = tuple[Int[np.ndarray, " ranking"], Int[np.ndarray, " confirming"]]


def image_halves(targets: int, seed: int) -> Halves:
    """Sorted positions of the targets that candidates are proposed from and ranked on, and of those that confirm."""
    order = generator("search halves", seed).permutation(targets)
    return np.sort(order[: targets // 2]), np.sort(order[targets // 2 :])


def model_halves(models: int) -> tuple[range, range]:
    """The models that rank and those that confirm."""
    return range((models + 1) // 2), range((models + 1) // 2, models)


def half_changes(
    models: Sequence[TrainedModels],
    rows: slice,
    examples: Examples,
    test: TransformationTest,
    effects: EffectSettings,
    intensities: Sequence[float],
) -> Changes:
    """Changes [intensities, models, images] of some rows of all models on the eligible ones of the examples.

    Which images are marked as planted plays no part, since a search must not know.
    """
    chosen = eligible_images(examples.labels, {}, test.target_class, effects.max_images, effects.seed)
    shown = examples.select(chosen)
    height, width, channels = examples.images.shape[1:]
    transformation = on_examples(build(test, (height, width, channels)), shown)
    parts = [measure(m, transformation, shown.images, shown.labels, intensities, test.target_class) for m in models]
    return Changes(
        np.concatenate([part.probability for part in parts], axis=1)[:, rows].astype(np.float32),
        np.concatenate([part.margin for part in parts], axis=1)[:, rows].astype(np.float32),
    )


def best(
    effects_a: Float[np.ndarray, " candidates"], effects_b: Float[np.ndarray, " candidates"], count: int
) -> Int[np.ndarray, " best"]:
    """The candidates of the largest |A's effect − B's|, best first."""
    return np.asarray(np.argsort(-np.abs(effects_a - effects_b), kind="stable")[:count])


def confirm(
    a: Sequence[TrainedModels],
    b: Sequence[TrainedModels],
    tests: Sequence[TransformationTest],
    targets: Examples,
    models: int,
    settings: SearchSettings,
    effects: EffectSettings,
) -> tuple[Judged, ...]:
    """Effects of the tests on the other half of the images and models, with p adjusted over the tests."""
    _, other = image_halves(len(targets), settings.seed)
    _, rows = model_halves(models)
    examples, kept = targets.select(other), slice(rows.start, rows.stop)
    measured = []
    for test in tests:
        of_a, of_b = (half_changes(of, kept, examples, test, effects, test.intensities) for of in (a, b))
        measured.append(read(test, of_a, of_b, effects.level))
    return judge(measured, effects)


def search(
    a: Sequence[TrainedModels],
    b: Sequence[TrainedModels],
    targets: Along,
    train: Along,
    models: int,
    settings: SearchSettings,
    effects: EffectSettings,
) -> tuple[Judged, ...]:
    """Propose, rank and confirm along one direction; what was put to the test, best ranked first.

    a, b: full-data models in any number of groups, `models` of each algorithm in all. targets: all test examples with
    their projections. Those that are `distinguishing` are the found transformations; none is an honest answer.

    Raises ConfigError for fewer than 4 models of each algorithm.
    """
    if models < LEAST_MODELS:
        raise ConfigError("ensemble.models", f"{LEAST_MODELS} or more, to search with one half and confirm", models)
    half, _ = image_halves(len(targets.examples), settings.seed)
    rows, _ = model_halves(models)
    seen = Along(targets.examples.select(half), targets.values[half])
    tests = propose(seen, train, settings.share, settings.candidates)
    kept = slice(rows.start, rows.stop)
    of_a, of_b = (
        np.array([half_changes(of, kept, seen.examples, test, effects, (1.0,)).probability.mean() for test in tests])
        for of in (a, b)
    )
    finalists = [tests[at] for at in best(of_a, of_b, settings.confirmed)]
    return confirm(a, b, finalists, targets.examples, models, settings, effects)
