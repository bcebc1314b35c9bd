"""The whole of a comparison as references: which trainings, regressions, directions and effects it is made of."""

from dataclasses import dataclass
from typing import Any

from modeldiff_core.identity import digest, plain
from modeldiff_core.stages.consolidate import matrix_reference
from modeldiff_core.stages.directions import FOLDER, NULL_BLOCK, Pair
from modeldiff_core.stages.effects import Effect
from modeldiff_core.stages.references import Reference
from modeldiff_core.stages.regress import Regression
from modeldiff_core.study import StudyConfig, Training, load_dataset, trainings_of

HALVES = (None, 0, 1)
VERSION = 1
"""Raised by hand when the same results are summarised differently."""


@dataclass(frozen=True)
class Comparison:
    """A study resolved against its data; every property is a pure function of both."""

    study: StudyConfig
    trainings: tuple[Training, Training]

    @classmethod
    def of(cls, study: StudyConfig) -> "Comparison":
        """Load the data and name the two trainings."""
        return cls(study, trainings_of(study, load_dataset(study.dataset)))

    @property
    def digest(self) -> str:
        """Digest of everything that decides the comparison's numbers."""
        settings: dict[str, Any] = self.study.model_dump(exclude={"dataset", "algorithm_a", "algorithm_b", "name"})
        return digest(
            {
                "version": VERSION,
                "trainings": [t.identity for t in self.trainings],
                "settings": plain_settings(settings),
            }
        )

    @property
    def folder(self) -> str:
        """Where the summary and the report stand."""
        return f"{FOLDER}/{self.study.name}-{self.digest[:8]}"

    @property
    def summary(self) -> Reference:
        """Where summary.json stands."""
        return Reference(self.folder, self.digest, f"{self.folder}/summary.json")

    @property
    def report(self) -> Reference:
        """Where the report's page stands, written after all its figures."""
        return Reference(self.folder, self.digest, f"{self.folder}/report/index.html")

    def regression(self, training: Training, half: int | None) -> Regression:
        """The regression of a training on all its models or on a half of them."""
        return Regression(
            matrix=matrix_reference(training, self.study.subsets.models),
            folder=training.prefix,
            targets=training.targets,
            first=self.study.subsets.evaluation_models,
            half=half,
            settings=self.study.regression.model_dump(),
        )

    def regressions(self) -> list[Regression]:
        """All regressions: both algorithms, all models and both halves."""
        return [self.regression(training, half) for training in self.trainings for half in HALVES]

    @property
    def pair(self) -> Pair:
        """What directions are found from."""
        fits = [tuple(self.regression(training, half) for half in HALVES) for training in self.trainings]
        (a, a0, a1), (b, b0, b1) = fits
        return Pair((a, a0, a1), (b, b0, b1), self.study.comparison.components, self.study.comparison.seed)

    @property
    def null_blocks(self) -> range:
        """Blocks of the permutation null."""
        return range(-(-self.study.comparison.permutations // NULL_BLOCK))

    def effects(self) -> list[tuple[Effect, Effect]]:
        """A's and B's effect of every transformation."""
        a, b = self.trainings
        models, settings = self.study.ensemble.models, self.study.effects
        return [
            (Effect.of(a, models, test, settings), Effect.of(b, models, test, settings))
            for test in self.study.transformations
        ]


def plain_settings(settings: dict[str, Any]) -> object:
    """The study's settings without what decides no number."""
    settings = {**settings, "regression": {k: v for k, v in settings["regression"].items() if k != "block_size"}}
    settings["subsets"] = {k: v for k, v in settings["subsets"].items() if k not in ("adaptive", "rounds")}
    return plain(settings)
