"""The experiment ``removal``: a comparison, the groups behind its confirmed differences, and models without them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from modeldiff_core.experiments.compare.check import check_study
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.plan import ComparisonPlan, rounds
from modeldiff_core.experiments.compare.rounds import current_round
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.experiments.removal.confirmed import Confirmed, confirmed_differences
from modeldiff_core.experiments.removal.found import summarized
from modeldiff_core.experiments.removal.present import figures, present
from modeldiff_core.identity import digest
from modeldiff_core.plan import Label, Reference, Step, Wave, later
from modeldiff_core.report.figures import Plot
from modeldiff_core.stages.directions import FOLDER
from modeldiff_core.stages.gram import FOLDER as GRAMS
from modeldiff_core.stages.removal import Behind, WithoutGroup, read_group, removals_of
from modeldiff_core.stages.search import BOTH
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import StudyConfig, load_dataset
from modeldiff_core.study.build import check_images
from modeldiff_core.study.config import parse_as_study
from modeldiff_core.study.removal import RemovalConfig, check_removal

AWAITS = "differences and the transformations that confirm them are there"


class RemovalStudy(StudyConfig):
    """A comparison's study, and what is removed from its training set."""

    experiment: Literal["removal"] = "removal"
    removal: RemovalConfig = RemovalConfig()

    @classmethod
    def parse(cls, content: object) -> "RemovalStudy":
        """Return a validated study; raises ConfigError."""
        return parse_as_study(cls, content)

    @property
    def comparison_study(self) -> StudyConfig:
        """The comparison's own study."""
        return StudyConfig.model_validate(self.model_dump(mode="json", exclude={"experiment", "removal"}))


@dataclass(frozen=True)
class Removal(OnePage):
    """The groups behind the confirmed differences of a comparison, with all of the comparison that they rest on."""

    study: RemovalStudy
    kind: ClassVar[str] = "removal"
    settings: ClassVar[type[BaseModel]] = RemovalStudy
    command: ClassVar[str] = "remove"

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison whose differences are looked into."""
        return Comparison.of(self.study.comparison_study)

    @property
    def digest(self) -> str:
        settings = self.study.removal.model_dump(mode="json")
        kinds = {"experiment": self.kind, "version": self.version}
        return digest({**kinds, "comparison": self.comparison.digest, "removal": settings})

    @property
    def folders(self) -> tuple[str, ...]:
        return (*dict.fromkeys(training.prefix for training in self.comparison.trainings), self.folder)

    @property
    def shared(self) -> tuple[str, ...]:
        return FOLDER, GRAMS

    def check(self) -> list[str]:
        study = self.comparison.study
        check_removal(study)
        check_images(load_dataset(self.study.dataset), self.kind)
        return check_study(study, load_dataset(self.study.dataset), self.comparison.trainings)

    def now(self, store: ObjectStore) -> "Removal":
        settled = current_round(store, self.comparison).comparison.study
        if settled == self.comparison.study:
            return self
        return replace(self, study=self.study.model_copy(update={"subsets": settled.subsets}))

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield the groups and, once they are known, what trains without them; the comparison comes before them."""
        yield later("groups", AWAITS, lambda: self._groups(store))
        yield later("training without groups", "the groups are there", lambda: self._without(store))

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield the whole comparison but for its report, the groups, what trains without them, and the page."""
        yield from rounds(store, self.comparison)
        settled = self.now(store)
        yield from ComparisonPlan(settled.comparison).waves(store)
        needs: list[Reference] = []
        for wave in settled.work(store):
            needs += (step.reference for step in wave.steps)
            yield wave
        yield from settled.ending((settled.comparison.directions, *needs))

    def behind(self, one: Confirmed) -> Behind | None:
        """Return where the group behind a difference is stored; None for one that no transformation confirms."""
        if one.search is None:
            return None
        asked = self.study.removal
        return Behind(one.search, one.finalist, asked.share, asked.parts, asked.random, asked.seed)

    def _groups(self, store: ObjectStore) -> list[Step]:
        label = Label("groups", "find group", ("removal",))
        return [
            spec.step(f"{self.name} group behind difference {one.number + 1}", label)
            for one in confirmed_differences(store, self.comparison, self.study.removal.differences)
            if (spec := self.behind(one)) is not None
        ]

    def _without(self, store: ObjectStore) -> list[Step]:
        steps, names = [], self.comparison.names
        for one in confirmed_differences(store, self.comparison, self.study.removal.differences):
            if (spec := self.behind(one)) is None:
                continue
            count = len(removals_of(read_group(store, spec)))
            for which in BOTH:
                label = Label(f"{names[which]}: models without groups", "train without", ("removal",), "models")
                steps += [
                    WithoutGroup(spec, which, number, self.study.removal.models).step(
                        f"{self.name} {names[which]} without group {number} of difference {one.number + 1}", label
                    )
                    for number in range(count)
                ]
        return steps

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        found = confirmed_differences(store, self.comparison, self.study.removal.differences)
        return summarized(store, self.comparison, self.study.removal, [(one, self.behind(one)) for one in found])

    def present(self, summary: Mapping[str, Any]) -> Shown:
        return present(self.name, summary)

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        return figures(summary, self.comparison.trainings[0].load())
