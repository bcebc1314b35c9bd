"""The experiment ``compare``: how two learning algorithms differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import BaseModel

from modeldiff_core.experiments.compare.check import check_study
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.outlook import learned
from modeldiff_core.experiments.compare.plan import ComparisonPlan
from modeldiff_core.experiments.compare.report import draw
from modeldiff_core.experiments.compare.rounds import current_round, ending
from modeldiff_core.experiments.compare.shown import row, shown
from modeldiff_core.experiments.compare.summary import summarize
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.plan import Reference, Wave
from modeldiff_core.stages.directions import FOLDER
from modeldiff_core.stages.gram import FOLDER as GRAMS
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import StudyConfig, load_dataset


@dataclass(frozen=True)
class Compare:
    """A comparison, and how far the rounds of an adaptive one have come."""

    comparison: Comparison
    kind: ClassVar[str] = "compare"
    settings: ClassVar[type[BaseModel]] = StudyConfig
    command: ClassVar[str] = "compare"

    @classmethod
    def of(cls, study: StudyConfig, store: ObjectStore) -> "Compare":
        """Load the data and name the two trainings."""
        return cls(Comparison.of(study))

    @property
    def study(self) -> StudyConfig:
        """The study."""
        return self.comparison.study

    @property
    def name(self) -> str:
        return self.study.name

    @property
    def tags(self) -> tuple[str, ...]:
        return self.study.name, self.study.algorithm_a.name, self.study.algorithm_b.name

    @property
    def digest(self) -> str:
        return self.comparison.digest

    @property
    def folders(self) -> tuple[str, ...]:
        return (*dict.fromkeys(training.prefix for training in self.comparison.trainings), self.comparison.folder)

    @property
    def shared(self) -> tuple[str, ...]:
        return FOLDER, GRAMS

    @property
    def summary(self) -> Reference:
        return self.comparison.summary

    @property
    def report(self) -> Reference:
        return self.comparison.report

    def check(self) -> list[str]:
        return check_study(self.study, load_dataset(self.study.dataset), self.comparison.trainings)

    def now(self, store: ObjectStore) -> "Compare":
        return replace(self, comparison=current_round(store, self.comparison).comparison)

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield rounds of training and learning curves as long as an adaptive design asks for more; then all the rest."""
        trained = 0
        while not (now := current_round(store, self.comparison)).last:
            plan, models = ComparisonPlan(now.comparison), now.comparison.study.subsets.models
            if models == trained:  # what this round needs could not be made, or nothing is being made
                yield Wave("next round", (), "the learning curves of this round are there", damage=now.damage)
                break
            trained = models
            yield plan.training()
            yield plan.curves()
        if self.study.subsets.adaptive and now.last:
            said = ending(self.study.subsets, now.comparison.study.subsets.models)
            yield Wave("rounds", (), note=f"{self.name}: {said}")
        yield from ComparisonPlan(now.comparison).waves(store)

    def advice(self, store: ObjectStore) -> list[str]:
        return learned(self.now(store).comparison, store)

    def redraw(self, store: ObjectStore) -> None:
        summarize(store, self.comparison)
        draw(store, self.comparison)

    def row(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns of a sweep's table."""
        return row(summary)

    def shown(self, store: ObjectStore) -> Shown:
        return shown(self.now(store).comparison, store)
