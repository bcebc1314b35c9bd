"""Experiments that end with a summary, most of them with a report too: their last steps, and what ``verify`` asks."""

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

SUMMARY = Label("summary", "summary", ("report",))
STUDY = "study.json"
"""The study in a report, as it was drawn."""
Content = Mapping[str, Any] | bytes
"""A record, or the bytes of any other object."""


class Concluded(Experiment):
    """An experiment whose stored results give a summary and the files beside it.

    Attributes:
        beside: Names of the files beside the summary, which are written before it.
        rendered: Names of the summary's entries that another machine need not give, such as checksums of figures.

    """

    beside: ClassVar[tuple[str, ...]] = ()
    rendered: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def conclude(self, store: ObjectStore) -> tuple[dict[str, Any], dict[str, Content]]:
        """Return the content of the summary and that of the files beside it, by name, in the order of writing.

        Raises DamagedObject or FileNotFoundError for a result that cannot be read.
        """

    def check_beside(self, store: ObjectStore, name: str, expected: Content) -> None:
        """Raise DamagedObject if a file beside the summary is not what the stored results give."""

    def concluding(self, needs: tuple[Reference, ...], label: Label = SUMMARY, seconds: float = 1.0) -> Step:
        """Return the step that writes the summary and the files beside it.

        Args:
            needs: What the summary is made from.
            label: What the step is called on screens.
            seconds: Predicted duration.

        """
        beside = tuple(f"{self.folder}/{name}" for name in self.beside)
        records = {key: partial(_check_digest, self.digest) for key in beside if key.endswith(".json")}
        made, name = Bundle(self.summary, beside, records), f"{label.group} of {self.name}"
        return Step(name, made, write_summary, StudySpec.of(self), needs, label, Cost(seconds), check=check_summary)

    def redraw(self, store: ObjectStore) -> None:
        self.write_conclusion(store)

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


class Reported(Concluded):
    """An experiment that ends with a summary and a report."""

    @abstractmethod
    def pages(self, store: ObjectStore) -> Mapping[str, bytes]:
        """Return the files of the report by name, from the stored results and summary."""

    def ending(self, needs: tuple[Reference, ...]) -> Iterator[Wave]:
        """Yield the waves of the summary and of the report. needs: what the summary is made from."""
        yield Wave("summary", (self.concluding(needs),))
        files, label = Files(self.report, f"{self.folder}/report/{FILES}"), Label("report", "report", ("report",))
        spec, needs = StudySpec.of(self), (self.summary,)
        yield Wave("report", (Step(f"report of {self.name}", files, write_report, spec, needs, label, Cost(3.0)),))

    def draw(self, store: ObjectStore) -> None:
        """Write the report from the stored results and summary."""
        write_files(store, self.folder, self.digest, self.pages(store))

    def redraw(self, store: ObjectStore) -> None:
        super().redraw(store)
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

    @classmethod
    def of(cls, experiment: Experiment) -> "StudySpec":
        """Return the study of an experiment."""
        return cls(experiment.kind, experiment.study.model_dump(mode="json"))

    def experiment(self, store: ObjectStore) -> Any:
        """Return the experiment."""
        cls = experiments().get(self.kind)
        return cls.of(parse_settings(cls.settings, self.study), store)

    def named_classes(self) -> tuple[type, ...]:
        """Return the class whose code concludes and draws."""
        return (experiments().get(self.kind),)


def write_summary(store: ObjectStore, spec: StudySpec) -> None:
    """Write the files beside the summary and, last, the summary."""
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
    told = [
        {name: content[name] for name in content if name not in experiment.rendered} for content in (expected, found)
    ]
    check_numbers(store, experiment.summary.record, *told)


def write_report(store: ObjectStore, spec: StudySpec) -> None:
    """Draw all figures and pages into ``report/``, the first page last."""
    spec.experiment(store).draw(store)


def _check_digest(digest: str, store: ObjectStore, key: str) -> None:
    digested(store, key, digest)
