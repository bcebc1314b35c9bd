"""Experiments that end with a summary and a report: the two last steps, and what ``verify`` asks of them."""

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from modeldiff_core.errors import DamagedObject
from modeldiff_core.experiments.experiment import Experiment, experiments, parse_settings
from modeldiff_core.plan import Bundle, Cost, Files, Label, Reference, Step, Wave
from modeldiff_core.plan.products import digested, read_digested
from modeldiff_core.report.files import FILES, write_files
from modeldiff_core.report.recheck import check_numbers
from modeldiff_core.store import ObjectStore, write_record

STUDY = "study.json"
"""The study in a report, as it was drawn."""
Content = Mapping[str, Any] | bytes
"""A record, or the bytes of any other object."""


class Reported(Experiment):
    """An experiment whose stored results give a summary, the files beside it, and a report.

    Attributes:
        beside: Names of the files beside summary.json, which are written before it.

    """

    beside: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def conclude(self, store: ObjectStore) -> tuple[dict[str, Any], dict[str, Content]]:
        """Return the content of summary.json and that of the files beside it, by name."""

    @abstractmethod
    def pages(self, store: ObjectStore) -> Mapping[str, bytes]:
        """Return the files of the report by name, from the stored results and summary."""

    def check_beside(self, store: ObjectStore, name: str, expected: Content) -> None:
        """Raise DamagedObject if a file beside the summary is not what the stored results give."""

    def ending(self, needs: tuple[Reference, ...]) -> Iterator[Wave]:
        """Yield the waves of the summary and of the report. needs: what the summary is made from."""
        spec = StudySpec(self.kind, self.study.model_dump(mode="json"))
        beside = tuple(f"{self.folder}/{name}" for name in self.beside)
        records = {key: partial(_check_digest, self.digest) for key in beside if key.endswith(".json")}
        made, label = Bundle(self.summary, beside, records), Label("summary", "summary", ("report",))
        summary = Step(f"summary of {self.name}", made, write_summary, spec, needs, label, check=check_summary)
        yield Wave("summary", (summary,))
        files, label = Files(self.report, f"{self.folder}/report/{FILES}"), Label("report", "report", ("report",))
        report = Step(f"report of {self.name}", files, write_report, spec, (self.summary,), label, Cost(3.0))
        yield Wave("report", (report,))

    def write_conclusion(self, store: ObjectStore) -> None:
        """Write the files beside the summary and, last, the summary."""
        summary, beside = self.conclude(store)
        for name, content in beside.items():
            key = f"{self.folder}/{name}"
            if isinstance(content, bytes):
                store.write(key, content)
            else:
                write_record(store, key, content)
        write_record(store, self.summary.record, summary)

    def draw(self, store: ObjectStore) -> None:
        """Write the report from the stored results and summary."""
        write_files(store, self.folder, self.digest, self.pages(store))

    def redraw(self, store: ObjectStore) -> None:
        self.write_conclusion(store)
        self.draw(store)

    def refresh(self, store: ObjectStore) -> bool:
        try:
            drawn = json.loads(store.read(f"{self.folder}/report/{STUDY}"))
        except (FileNotFoundError, ValueError):  # no such file in its report, or damaged, which `verify` finds
            return False
        if drawn == json.loads(json.dumps(self.study.model_dump(mode="json"), default=str)):
            return False
        self.redraw(store)
        return True


@dataclass(frozen=True)
class StudySpec:
    """A study as plain values, and the kind of its experiment."""

    kind: str
    study: dict[str, Any]

    def experiment(self, store: ObjectStore) -> Reported:
        """Return the experiment."""
        cls = experiments().get(self.kind)
        found = cls.of(parse_settings(cls.settings, self.study), store)
        assert isinstance(found, Reported)
        return found


def write_summary(store: ObjectStore, spec: StudySpec) -> None:
    """Write the files beside summary.json and, last, summary.json."""
    spec.experiment(store).write_conclusion(store)


def check_summary(store: ObjectStore, spec: StudySpec) -> None:
    """Raise DamagedObject if the summary or a file beside it is not what the stored results give."""
    experiment = spec.experiment(store)
    found = read_digested(store, experiment.summary)
    try:
        expected, beside = experiment.conclude(store)
    except (DamagedObject, FileNotFoundError):
        return  # each of the results is checked by itself
    for name, content in beside.items():
        experiment.check_beside(store, name, content)
    check_numbers(store, experiment.summary.record, expected, found)


def write_report(store: ObjectStore, spec: StudySpec) -> None:
    """Draw all figures and pages into ``report/``, the first page last."""
    spec.experiment(store).draw(store)


def _check_digest(digest: str, store: ObjectStore, key: str) -> None:
    digested(store, key, digest)
