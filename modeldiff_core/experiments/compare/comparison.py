"""The whole of a comparison as references: which trainings, regressions, directions and effects it is made of."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from modeldiff_core.datamodels import FromCheckpoints, FromTrainings
from modeldiff_core.experiments.compare.compared import Compared, Margins
from modeldiff_core.identity import digest, plain
from modeldiff_core.responses import SubsetModels
from modeldiff_core.stages.effects import Effect
from modeldiff_core.stages.matrix import MatrixSpec
from modeldiff_core.stages.plain import Plain
from modeldiff_core.stages.regression import Checkpoints
from modeldiff_core.stages.screening import ScreeningOf
from modeldiff_core.stages.spread import SpreadSpec
from modeldiff_core.study import StudyConfig, Training, build_estimator, load_dataset, trainings_of
from modeldiff_core.study.config import RegressionConfig
from modeldiff_core.transformations.defaults import changed_defaults

VERSION = 4
"""Raised by hand when the same results are summarized differently."""


@dataclass(frozen=True)
class Comparison(Compared):
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
        if settings["targets"] == len(self.trainings[0].load().test):
            settings["targets"] = None  # all of them, as without a number: one spelling, one key
        changed = {
            t.name: found for t in self.study.transformations if (found := changed_defaults(t.kind, t.parameters))
        }
        if changed:
            settings["transformation_defaults"] = changed
        return digest(
            {
                "version": VERSION,
                "trainings": [t.identity for t in self.trainings],
                "settings": plain_settings(settings, self.study.regression),
            }
        )

    @property
    def sides(self) -> dict[str, Training]:
        """Both trainings by their letters."""
        return dict(zip("ab", self.trainings, strict=True))

    @property
    def names(self) -> dict[str, str]:
        """What people call the algorithms, by their letters."""
        return {"a": self.study.algorithm_a.name, "b": self.study.algorithm_b.name}

    def matrix(self, training: Training) -> MatrixSpec:
        """Return the matrix of a training's subset models."""
        return MatrixSpec(SubsetModels(training), self.study.subsets.models, ScreeningOf.of(self.study, training))

    def margins(self, side: Training) -> Margins:
        held, units = self.study.subsets.evaluation_models, len(side.load().train)
        return Margins(self.matrix(side).reference, side.prefix, side.targets, units, held)

    def checkpoints(self, side: Training, kind: str) -> Checkpoints | None:
        """Return the models trained on all data for an estimator that looks into them."""
        estimator = build_estimator(self.study.regression, kind)
        if isinstance(estimator, FromTrainings):
            return Checkpoints(side, 0)
        return Checkpoints(side, self.study.ensemble.models) if isinstance(estimator, FromCheckpoints) else None

    @property
    def plain(self) -> Plain:
        """How the full-data models compare before any direction is looked for."""
        return Plain(self.trainings, self.study.ensemble.models, self.study.effects.level)

    @property
    def spread(self) -> SpreadSpec | None:
        """Where A's and B's spread is compared; None for masks of their own, or datamodels that take none."""
        a, b = (self.regression(training, None) for training in self.trainings)
        spec = SpreadSpec(a, b, self.study.subsets.seeds)
        return spec if self.study.subsets.paired and spec.possible else None

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
    if regression.prior:
        own["prior"] = {regression.prior: build_estimator(regression, regression.prior).identity()}
    if "subsets" in settings:
        left_out = {"adaptive", "rounds", *(("seeds",) if settings["subsets"]["seeds"] == 1 else ())}
        subsets = {name: value for name, value in settings["subsets"].items() if name not in left_out}
        settings = {**settings, "subsets": subsets}
    if settings.get("output") == "margin":
        settings = {name: value for name, value in settings.items() if name != "output"}
    if "verdict" in settings:
        margins = {name: settings["verdict"].get(name) for name in ("margin", "probability")}
        asked = {name: margin for name, margin in margins.items() if margin}
        settings = {name: value for name, value in settings.items() if name != "verdict"}
        settings |= {"verdict": asked} if asked else {}
    if settings["comparison"].get("null_from") == "exchange":
        tested = {name: value for name, value in settings["comparison"].items() if name != "null_from"}
        settings = {**settings, "comparison": tested}
    return plain({**settings, "regression": own})
