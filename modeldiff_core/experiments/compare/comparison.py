"""The whole of a comparison as references: which trainings, regressions, directions and effects it is made of."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from modeldiff_core.datamodels import FromCheckpoints, FromMasks
from modeldiff_core.identity import digest, plain
from modeldiff_core.plan import Reference
from modeldiff_core.responses import SubsetModels
from modeldiff_core.stages.directions import FOLDER, NULL_BLOCK, Pair
from modeldiff_core.stages.effects import Effect
from modeldiff_core.stages.matrix import MatrixSpec
from modeldiff_core.stages.regression import Checkpoints, Regression
from modeldiff_core.study import StudyConfig, Training, build_estimator, load_dataset, trainings_of
from modeldiff_core.study.config import RegressionConfig

HALVES = (None, 0, 1)
PARTS = {None: "all models", 0: "even models", 1: "odd models"}
VERSION = 3
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

    @cached_property
    def digest(self) -> str:
        """Digest of everything that decides the comparison's numbers."""
        settings: dict[str, Any] = self.study.model_dump(exclude={"dataset", "algorithm_a", "algorithm_b", "name"})
        return digest(
            {
                "version": VERSION,
                "trainings": [t.identity for t in self.trainings],
                "settings": plain_settings(settings, self.study.regression),
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

    def matrix(self, training: Training) -> MatrixSpec:
        """Return the matrix of a training's subset models."""
        return MatrixSpec(SubsetModels(training), self.study.subsets.models)

    def regression(self, training: Training, half: int | None, kind: str = "") -> Regression:
        """Return the regression of a training on all its models or on a half of them; kind: of another estimator
        than its own.

        An estimator from checkpoints takes the models trained on all data, or every other of them.
        """
        config = self.study.regression
        kind = kind or config.estimator
        estimator = build_estimator(config, kind)
        models = Checkpoints(training, self.study.ensemble.models)
        return Regression(
            matrix=self.matrix(training).reference,
            folder=training.prefix,
            targets=training.targets,
            units=len(training.load().train),
            first=self.study.subsets.evaluation_models,
            half=half,
            kind=kind,
            settings=config.settings_of(kind),
            block_size=config.block_size,
            checkpoints=models if isinstance(estimator, FromCheckpoints) else None,
        )

    def regressions(self) -> dict[tuple[str, str], Regression]:
        """Return all regressions by algorithm (a or b) and what a person would call them.

        Both algorithms on all models and on both halves, and every other estimator on all models.
        """
        return {
            (label, name): fit
            for label, training in zip("ab", self.trainings, strict=True)
            for name, fit in [
                *((PARTS[half], self.regression(training, half)) for half in HALVES),
                *((kind, self.regression(training, None, kind)) for kind in self.study.regression.also),
            ]
        }

    def scored(self) -> dict[tuple[str, str], tuple[Training, Regression]]:
        """Return the regressions that are scored, by algorithm and kind of estimator."""
        config = self.study.regression
        return {
            (label, kind): (training, self.regression(training, None, kind))
            for label, training in zip("ab", self.trainings, strict=True)
            for kind in (config.estimator, *config.also)
        }

    @cached_property
    def pair(self) -> Pair:
        """What directions are found from."""
        fits = [tuple(self.regression(training, half) for half in HALVES) for training in self.trainings]
        (a, a0, a1), (b, b0, b1) = fits
        return Pair.of((a, a0, a1), (b, b0, b1), self.study.comparison)

    @property
    def permutations(self) -> int:
        """Draws of the null; none where the estimator takes no masks and margins that could be fitted anew."""
        config = self.study.regression
        exchangeable = isinstance(build_estimator(config, config.estimator), FromMasks)
        return self.study.comparison.permutations if exchangeable else 0

    @property
    def null_blocks(self) -> range:
        """Blocks of the null's draws."""
        return range(-(-self.permutations // NULL_BLOCK))

    def effects(self) -> list[tuple[Effect, Effect]]:
        """A's and B's effect of every transformation."""
        a, b = self.trainings
        models, settings = self.study.ensemble.models, self.study.effects
        return [
            (Effect.of(a, models, test, settings), Effect.of(b, models, test, settings))
            for test in self.study.transformations
        ]


def plain_settings(settings: dict[str, Any], regression: RegressionConfig) -> object:
    """Settings without what decides no number, and without choices (estimators, null) where they are the usual ones."""
    own = build_estimator(regression, "lasso").identity()
    kinds = [regression.estimator, *regression.also]
    if kinds != ["lasso"]:
        own["estimators"] = [{"kind": kind, "settings": build_estimator(regression, kind).identity()} for kind in kinds]
    if "subsets" in settings:
        subsets = {name: value for name, value in settings["subsets"].items() if name not in ("adaptive", "rounds")}
        settings = {**settings, "subsets": subsets}
    if settings.get("output") == "margin":
        settings = {name: value for name, value in settings.items() if name != "output"}
    if settings["comparison"]["null_from"] == "exchange":
        tested = {name: value for name, value in settings["comparison"].items() if name != "null_from"}
        settings = {**settings, "comparison": tested}
    return plain({**settings, "regression": own})
