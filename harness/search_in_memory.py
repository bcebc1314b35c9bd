"""The whole search along a direction with all models in memory, as the stages do it from a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from modeldiff_core.data import Examples
from modeldiff_core.training.protocol import TrainedModels
from modeldiff_core.transformations import (
    Changes,
    EffectSettings,
    Judged,
    SearchSettings,
    TransformationTest,
    judge,
    read,
)
from modeldiff_core.transformations.ends import OrderedExamples
from modeldiff_core.transformations.search import (
    best,
    check_models,
    image_halves,
    joined,
    measure_tests,
    model_halves,
    proposals,
)


@dataclass(frozen=True)
class Subjects:
    """What transformations are tried on: full-data models of both algorithms, and all test examples.

    a, b: in any number of groups, `models` of each algorithm in all. pairing: whether model m of A and of B were
    trained from one seed.
    """

    a: Sequence[TrainedModels]
    b: Sequence[TrainedModels]
    models: int
    targets: Examples
    pairing: Literal["independent", "paired"] = "paired"

    def changes(
        self,
        tests: Sequence[TransformationTest],
        half: int,
        settings: SearchSettings,
        effects: EffectSettings,
        intensities: Sequence[float] | None = None,
    ) -> tuple[list[Changes], list[Changes]]:
        """Return A's and B's changes under each test on one half of the images and models: 0 ranks, 1 confirms."""
        examples = self.targets.select(image_halves(len(self.targets), settings.seed)[half])
        rows = model_halves(self.models)[half]
        of_a, of_b = (
            joined(
                [measure_tests(group, examples, tests, effects, intensities) for group in groups],
                slice(rows.start, rows.stop),
            )
            for groups in (self.a, self.b)
        )
        return of_a, of_b


def rank(
    subjects: Subjects, tests: Sequence[TransformationTest], settings: SearchSettings, effects: EffectSettings
) -> tuple[TransformationTest, ...]:
    """Return the tests of the largest difference at full intensity on the ranking half of the images and models."""
    found = subjects.changes(tests, 0, settings, effects, (1.0,))
    of_a, of_b = (np.array([changes.probability.mean() for changes in of]) for of in found)
    return tuple(tests[at] for at in best(of_a, of_b, settings.confirmed))


def confirm(
    subjects: Subjects, tests: Sequence[TransformationTest], settings: SearchSettings, effects: EffectSettings
) -> tuple[Judged, ...]:
    """Return the effects of the tests on the other half of the images and models, with p adjusted over the tests."""
    found = zip(tests, *subjects.changes(tests, 1, settings, effects), strict=True)
    return judge([read(test, of_a, of_b, effects, subjects.pairing) for test, of_a, of_b in found], effects)


def search(
    a: Sequence[TrainedModels],
    b: Sequence[TrainedModels],
    targets: OrderedExamples,
    train: OrderedExamples,
    models: int,
    settings: SearchSettings,
    effects: EffectSettings,
) -> tuple[Judged, ...]:
    """Propose, rank and confirm along one direction; returns what was put to the test, best ranked first.

    a, b, models: as in Subjects. targets: all test examples with their projections. Those that are `distinguishing` are
    the found transformations; none is an honest answer.

    Raises ConfigError for fewer than 4 models of each algorithm.
    """
    check_models(models)
    subjects = Subjects(a, b, models, targets.examples)
    finalists = rank(subjects, proposals(targets, train, settings), settings, effects)
    return confirm(subjects, finalists, settings, effects)
