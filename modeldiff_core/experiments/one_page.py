"""Experiments of one summary and one page: their authors state the settings, the work, and what was found."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import Field

from modeldiff_core.experiments.experiment import KIND, Shown
from modeldiff_core.experiments.page import draw_page
from modeldiff_core.experiments.reported import Content, Reported
from modeldiff_core.identity import digest
from modeldiff_core.plan import Reference, Wave
from modeldiff_core.report.figures import Plot
from modeldiff_core.settings import Settings
from modeldiff_core.store import ObjectStore, read_record


class OnePageStudy(Settings):
    """Settings of such an experiment, frozen and closed to unknown keys; add the others and ``experiment``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")


@dataclass(frozen=True)
class OnePage(Reported):
    """An ``Experiment`` with one summary and one page.

    A subclass sets `kind` and `settings` and is registered under the entry-point group ``modeldiff.experiments``.

    Attributes:
        study: The settings.
        version: Raised by hand when a change of the code changes the numbers.

    """

    study: Any
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
    def digest(self) -> str:
        settings = self.study.model_dump(mode="json", exclude={"name", KIND})
        return digest({"experiment": self.kind, "version": self.version, "settings": settings})

    @property
    def folder(self) -> str:
        """Where the summary and the report are stored."""
        return f"{self.kind}/{self.name}-{self.digest[:8]}"

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        needs: list[Reference] = []
        for wave in self.work(store):
            needs += (step.reference for step in wave.steps)
            yield wave
        yield from self.ending(tuple(needs))

    def conclude(self, store: ObjectStore) -> tuple[dict[str, Any], dict[str, Content]]:
        return {"digest": self.digest, **self.summarize(store)}, {}

    def pages(self, store: ObjectStore) -> Mapping[str, bytes]:
        summary, study = read_record(store, self.summary.record), self.study.model_dump(mode="json")
        return draw_page(self.kind, self.present(summary), self.plots(store, summary), study, self.inventories())

    def shown(self, store: ObjectStore) -> Shown:
        found = self.present(read_record(store, self.summary.record))
        return replace(found, figures=self.drawn(store), links={"Report": store.url(self.report.record)})
