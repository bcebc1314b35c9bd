"""The experiment ``sweep``: the same kind of experiment at every point of a grid of settings, and a table of all."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue

from modeldiff_core.data.inventory import Inventory
from modeldiff_core.errors import ConfigError, DamagedObject
from modeldiff_core.experiments.experiment import (
    KIND,
    Experiment,
    Shown,
    Table,
    experiment_kind,
    experiments,
    parse_settings,
)
from modeldiff_core.experiments.reported import Concluded, Content
from modeldiff_core.experiments.together import waves_together
from modeldiff_core.identity import digest
from modeldiff_core.plan import Label, Reference, Wave, survey
from modeldiff_core.settings import Settings
from modeldiff_core.store import ObjectStore, read_record

FOLDER = "sweeps"
VERSION = 1


class AnyStudy:
    """Says in the schema of a sweep that a point's study has the settings of some experiment, and no others."""

    def __get_pydantic_json_schema__(self, core: object, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        kinds = {kind: experiments().get(kind).settings for kind in experiments().names() if kind != Sweep.kind}
        return {"anyOf": [_schema(kind, settings, handler) for kind, settings in kinds.items()]}


def _schema(kind: str, settings: type[BaseModel], handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """Return the schema of an experiment's study, which may name the experiment."""
    known = handler.resolve_ref_schema(handler(settings.__pydantic_core_schema__))
    return {**known, "properties": {KIND: {"const": kind}, **known["properties"]}}


class SweepPoint(Settings):
    """A point: its overrides in words, and the whole study there."""

    words: str
    study: Annotated[dict[str, Any], AnyStudy()]


class SweepStudy(Settings):
    """Studies of one kind of experiment at the points of a grid."""

    experiment: Literal["sweep"] = "sweep"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")
    points: tuple[SweepPoint, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Sweep(Concluded):
    """Experiments at the points of a grid; what they share is made once, and one that fails never stops the others."""

    study: SweepStudy
    points: tuple[Experiment, ...]
    kind: ClassVar[str] = "sweep"
    settings: ClassVar[type[BaseModel]] = SweepStudy
    command: ClassVar[str] = "sweep"

    @classmethod
    def of(cls, study: SweepStudy, store: ObjectStore) -> "Sweep":
        """Resolve every point; raises ConfigError that names the point at fault."""
        return cls(study, tuple(_point(point, store) for point in study.points))

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(tag for point in self.points for tag in point.tags))

    @property
    def digest(self) -> str:
        return digest({"version": VERSION, "points": [point.digest for point in self.points]})

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(folder for point in self.points for folder in point.folders))

    @property
    def shared(self) -> tuple[str, ...]:
        return (*dict.fromkeys(folder for point in self.points for folder in point.shared), FOLDER)

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.name}-{self.digest[:8]}"

    @property
    def report(self) -> Reference:
        return self.summary

    def inventories(self) -> tuple[Inventory, ...]:
        """Return what the datasets of the points hold, each once."""
        found: list[Inventory] = []
        for point in self.points:
            found += [one for one in point.inventories() if one not in found]
        return tuple(found)

    def check(self) -> list[str]:
        warnings = []
        for point, experiment in zip(self.study.points, self.points, strict=True):
            try:
                warnings += [f"{point.words}: {warning}" for warning in experiment.check()]
            except ConfigError as error:
                raise _at(point, error) from error
        return warnings

    def now(self, store: ObjectStore) -> "Sweep":
        return type(self)(self.study, tuple(point.now(store) for point in self.points))

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield the waves of all points side by side, then the table."""
        words = [point.words for point in self.study.points]
        yield from waves_together(list(zip(words, self.points, strict=True)), store, "sweep")
        needs = tuple(point.summary for point in self.now(store).points)
        yield Wave("table", (self.concluding(needs, Label("table", "table", ("report",)), seconds=0.1),))

    def advice(self, store: ObjectStore) -> list[str]:
        words = zip(self.study.points, self.points, strict=True)
        return [f"{point.words}: {line}" for point, one in words for line in one.advice(store)]

    def conclude(self, store: ObjectStore) -> tuple[dict[str, Any], dict[str, Content]]:
        points = zip(self.study.points, self.now(store).points, strict=True)
        rows = [_row(store, point, experiment) for point, experiment in points]
        return {"digest": self.digest, "study": self.study.model_dump(mode="json"), "rows": rows}, {}

    def redraw(self, store: ObjectStore) -> None:
        for point in self.points:
            point.redraw(store)
        super().redraw(store)

    def shown(self, store: ObjectStore) -> Shown:
        return self.so_far(store)

    def so_far(self, store: ObjectStore) -> Shown:
        """Return what the points have found, of those that are not complete what is missing."""
        points = zip(self.study.points, self.now(store).points, strict=True)
        found = [_row_so_far(store, point, experiment) for point, experiment in points]
        rows = [{**row, "report": store.url(row["report"]) if row["report"] else ""} for row in found]
        words = tuple(f"{row['point']}: {row['findings']} Report: {row['report']}" for row in rows)
        table = Table("sweep", rows, "What each experiment of the sweep found")
        return Shown(f"Sweep of {self.name}", words, (table,))


def _row(store: ObjectStore, point: SweepPoint, experiment: Experiment) -> dict[str, Any]:
    """Return the row of a complete point, with the key of its report; raises DamagedObject or FileNotFoundError."""
    summary, shown = read_record(store, experiment.summary.record), experiment.shown(store)
    row = {"point": point.words, "status": "done", **experiment.row(summary), "findings": " ".join(shown.findings)}
    return {**row, "report": experiment.report.record}


def _row_so_far(store: ObjectStore, point: SweepPoint, experiment: Experiment) -> dict[str, Any]:
    """Return the row of a point; of one that is not complete, how much is missing."""
    try:
        return _row(store, point, experiment)
    except (FileNotFoundError, DamagedObject):
        missing = len(survey(experiment, store).missing)
        return {"point": point.words, "status": f"{missing} results missing", "findings": "", "report": ""}


def _point(point: SweepPoint, store: ObjectStore) -> Experiment:
    try:
        cls = experiments().get(experiment_kind(point.study))
        return cls.of(parse_settings(cls.settings, point.study), store)
    except ConfigError as error:
        raise _at(point, error) from error


def _at(point: SweepPoint, error: ConfigError) -> ConfigError:
    return ConfigError(error.key, error.expected, error.got, f"{error.hint} (at {point.words})".strip())
