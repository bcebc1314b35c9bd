"""The experiment ``compare_adopted``: margins or attributions that were made elsewhere, compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel

from modeldiff_core.errors import DamagedObject
from modeldiff_core.experiments.adopted.comparison import AdoptedComparison
from modeldiff_core.experiments.adopted.descriptions import described_step
from modeldiff_core.experiments.adopted.findings import direction_entries
from modeldiff_core.experiments.adopted.report import adopted_facts
from modeldiff_core.experiments.adopted.scores import scored_directions_step
from modeldiff_core.experiments.adopted.stored import Stored
from modeldiff_core.experiments.adopted.summary import (
    TABLE,
    adopted_study_record,
    build_adopted_summary,
    directions_table,
)
from modeldiff_core.experiments.compare.compared import TwoSides
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.experiments.reported import Content
from modeldiff_core.plan import Label, Product, Record, Reference, Step, Wave, later
from modeldiff_core.report import render
from modeldiff_core.responses.products import Matrix
from modeldiff_core.stages.blocks import Blocks
from modeldiff_core.stages.datamodels import datamodel_waves
from modeldiff_core.stages.score import Score
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study.adopted import AdoptedStudy

ADOPT_AGAIN = "What was adopted is made whole by adopting it again: modeldiff adopt ..."


@dataclass(frozen=True)
class CompareAdopted(TwoSides):
    """A comparison of two stored sets of margins or attributions."""

    comparison: AdoptedComparison
    kind: ClassVar[str] = "compare_adopted"
    settings: ClassVar[type[BaseModel]] = AdoptedStudy
    command: ClassVar[str] = "compare-adopted"
    beside: ClassVar[tuple[str, ...]] = ("study.json", TABLE)

    @classmethod
    def of(cls, study: AdoptedStudy, store: ObjectStore) -> "CompareAdopted":
        """Find both sides in the store; raises ConfigError for sides that cannot be compared."""
        return cls(AdoptedComparison.of(store, study))

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield what was adopted, then regression, directions, their ends, summary and report."""
        comparison, name = self.comparison, self.name
        sides = {side.reference.key: (which, side) for which, side in comparison.sides.items()}.values()
        yield Wave("adopted results", tuple(step for which, side in sides for step in _adopted(which, side)))
        if comparison.a.kind == "margins":
            fits = {f"{name} {which}, {words}": fit for (which, words), fit in comparison.regressions().items()}
            yield from datamodel_waves(store, fits, name)
            scores = tuple(
                Score(fit).step(f"{name} scores of {which}, {kind}", Label("scores", "score", ("evaluation",)))
                for (which, kind), fit in comparison.scored().items()
            )
            yield Wave("directions and null", (*scores, *self._directions()))
            yield from comparison.null_waves(store)
        else:
            yield Wave("directions", tuple(self._directions()))
        yield later("subpopulations", "directions and their null are there", lambda: self._described(store))
        needs = tuple(step.reference for step in self._directions())
        yield from self.ending((*needs, *comparison.null_references(store)))

    def conclude(self, store: ObjectStore) -> tuple[dict[str, Any], dict[str, Content]]:
        summary = build_adopted_summary(store, self.comparison)
        record, table = adopted_study_record(self.comparison), directions_table(summary["directions"])
        return summary, {"study.json": record, TABLE: table}

    def check_beside(self, store: ObjectStore, name: str, expected: Content) -> None:
        key = f"{self.folder}/{name}"
        if name == TABLE and store.read(key) != directions_table(self._entries(store)):
            raise DamagedObject(f"{store.url(key)}: is not what the summary says", keys=(key,))

    def _entries(self, store: ObjectStore) -> list[dict[str, Any]]:
        """Return the directions of the stored summary."""
        entries: list[dict[str, Any]] = read_record(store, self.summary.record)["directions"]
        return entries

    def pages(self, store: ObjectStore) -> dict[str, bytes]:
        return render(adopted_facts(store, self.comparison))

    def shown(self, store: ObjectStore) -> Shown:
        a, b = self.comparison.names.values()
        columns = ("side", "index", "null_p", "p_adjusted", "significant")
        rows = [{column: entry[column] for column in columns} for entry in self._entries(store)]
        return Shown(
            f"{a} against {b}",
            tuple(read_record(store, self.summary.record)["findings"]),
            (Table("directions", rows, "Residual directions of both sides"),),
            self.drawn(store),
            {
                "Summary": store.url(self.summary.record),
                "Table": store.url(f"{self.folder}/{TABLE}"),
                "Report": store.url(self.report.record),
            },
        )

    def _directions(self) -> Iterator[Step]:
        if self.comparison.a.kind == "margins":
            return self.comparison.direction_steps()
        label = Label("directions", "directions", ("comparison",))
        return iter((scored_directions_step(self.comparison, label),))

    def _described(self, store: ObjectStore) -> list[Step]:
        if not self.comparison.known.fingerprint:
            return []
        label = Label("subpopulations", "describe", ("subpopulation",))
        entries = direction_entries(store, self.comparison)
        return [described_step(self.comparison, ends, label) for ends in self.comparison.described(entries)]


@dataclass(frozen=True)
class AdoptedResult:
    """A result that came from outside."""

    key: str


def adopt_again(store: ObjectStore, spec: AdoptedResult) -> None:
    """Raise DamagedObject: nothing here can make what was adopted."""
    raise DamagedObject(f"{store.url(spec.key)} is not complete. {ADOPT_AGAIN}")


def _adopted(which: str, side: Stored) -> Iterator[Step]:
    """Yield the record of a side's training, and its margins or datamodels."""
    label = Label("adopted results", "adopted")
    training = Reference(side.folder, side.reference.digest, f"{side.folder}/training.json")
    makes: Product = Blocks(side.reference, side.n_targets, side.n_train)
    if side.kind == "margins":
        makes = Matrix(side.reference, side.training, (side.models, side.n_train, side.n_targets))
    for name, product in (
        (f"adopted training of {which}", _Readable(training)),
        (f"adopted {side.kind} of {which}", makes),
    ):
        spec: Any = AdoptedResult(product.reference.key)
        yield Step(name, product, adopt_again, spec, (), label, adopted=True, memoized=False)


@dataclass(frozen=True)
class _Readable(Record):
    """A record without a digest of its own."""

    def check(self, store: ObjectStore) -> None:
        read_record(store, self.reference.record)
