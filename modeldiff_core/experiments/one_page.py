"""Experiments of one summary and one page: their authors state the settings, the work, and what was found."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

from pydantic import BaseModel, Field

from modeldiff_core.experiments.experiment import KIND, Shown, experiments, parse_settings
from modeldiff_core.experiments.page import draw_page
from modeldiff_core.identity import digest
from modeldiff_core.plan import Cost, Files, Label, Record, Reference, Step, Wave
from modeldiff_core.report.figures import Plot
from modeldiff_core.report.files import FILES, write_files
from modeldiff_core.report.recheck import check_numbers
from modeldiff_core.settings import Settings
from modeldiff_core.store import ObjectStore, read_record, write_record


class OnePageStudy(Settings):
    """Settings of such an experiment, frozen and closed to unknown keys; add the others and ``experiment``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")


@dataclass(frozen=True)
class OnePage(ABC):
    """An ``Experiment`` with one summary and one page.

    A subclass sets `kind` and `settings` and is registered under the entry-point group ``modeldiff.experiments``.

    Attributes:
        study: The settings.
        version: Raised by hand when a change of the code changes the numbers.

    """

    study: Any
    kind: ClassVar[str]
    settings: ClassVar[type[BaseModel]]
    command: ClassVar[str] = "run"
    version: ClassVar[int] = 1

    @classmethod
    def of(cls, study: Any, store: ObjectStore) -> "OnePage":
        """Return the experiment of a study."""
        return cls(study)

    @abstractmethod
    def work(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield the waves whose results the summary is made from."""

    @abstractmethod
    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        """Return what was found as plain JSON with stable keys, from the stored results."""

    @abstractmethod
    def present(self, summary: Mapping[str, Any]) -> Shown:
        """Return the title, the sentences and the tables that a summary gives; figures and links are added to them."""

    @abstractmethod
    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        """Return the figures of the page by their captions."""

    @property
    def name(self) -> str:
        return cast(str, self.study.name)

    @property
    def tags(self) -> tuple[str, ...]:
        return self.name, self.kind

    @property
    def digest(self) -> str:
        settings = self.study.model_dump(mode="json", exclude={"name", KIND})
        return digest({"experiment": self.kind, "version": self.version, "settings": settings})

    @property
    def folder(self) -> str:
        """Where the summary and the report stand."""
        return f"{self.kind}/{self.name}-{self.digest[:8]}"

    @property
    def folders(self) -> tuple[str, ...]:
        return (self.folder,)

    @property
    def shared(self) -> tuple[str, ...]:
        return ()

    @property
    def summary(self) -> Reference:
        return Reference(self.folder, self.digest, f"{self.folder}/summary.json")

    @property
    def report(self) -> Reference:
        return Reference(self.folder, self.digest, f"{self.folder}/report/index.html")

    def check(self) -> list[str]:
        return []

    def now(self, store: ObjectStore) -> "OnePage":
        return self

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        needs: list[Reference] = []
        for wave in self.work(store):
            needs += (step.reference for step in wave.steps)
            yield wave
        spec, label = StudySpec(self.kind, self.study.model_dump(mode="json")), Label("summary", "summary", ("report",))
        makes = Record(self.summary)
        summary = Step(f"summary of {self.name}", makes, write_summary, spec, tuple(needs), label, check=check_summary)
        yield Wave("summary", (summary,))
        files, label = Files(self.report, f"{self.folder}/report/{FILES}"), Label("report", "report", ("report",))
        report = Step(f"report of {self.name}", files, write_report, spec, (self.summary,), label, Cost(3.0))
        yield Wave("report", (report,))

    def advice(self, store: ObjectStore) -> list[str]:
        return []

    def redraw(self, store: ObjectStore) -> None:
        summary = {"digest": self.digest, **self.summarize(store)}
        write_record(store, self.summary.record, summary)
        self.draw(store)

    def draw(self, store: ObjectStore) -> None:
        """Write the report again from the stored summary and results."""
        summary = read_record(store, self.summary.record)
        plots, study = self.plots(store, summary), self.study.model_dump(mode="json")
        page = draw_page(self.kind, self.present(summary), plots, study)
        write_files(store, self.folder, self.digest, page)

    def shown(self, store: ObjectStore) -> Shown:
        drawn = store.sizes(f"{self.folder}/report/figures")
        return replace(
            self.present(read_record(store, self.summary.record)),
            figures=tuple(sorted(key for key in drawn if key.endswith(".png"))),
            links={"Report": store.url(self.report.record)},
        )


@dataclass(frozen=True)
class StudySpec:
    """A study as plain values, and the kind of its experiment."""

    kind: str
    study: dict[str, Any]

    def experiment(self, store: ObjectStore) -> OnePage:
        """Return the experiment."""
        cls = experiments().get(self.kind)
        assert issubclass(cls, OnePage)
        return cls.of(parse_settings(cls.settings, self.study), store)


def write_summary(store: ObjectStore, spec: StudySpec) -> None:
    """Write summary.json."""
    experiment = spec.experiment(store)
    write_record(store, experiment.summary.record, {"digest": experiment.digest, **experiment.summarize(store)})


def check_summary(store: ObjectStore, spec: StudySpec) -> None:
    """Raise DamagedObject if the summary does not say what the stored results say."""
    experiment = spec.experiment(store)
    expected = {"digest": experiment.digest, **experiment.summarize(store)}
    check_numbers(store, experiment.summary.record, expected, read_record(store, experiment.summary.record))


def write_report(store: ObjectStore, spec: StudySpec) -> None:
    """Draw the report from the stored summary and results."""
    spec.experiment(store).draw(store)
