"""The experiment ``compare_adopted``: margins or attributions that were made elsewhere, compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel

from modeldiff_core.errors import DamagedObject
from modeldiff_core.experiments.adopted.comparison import AdoptedComparison
from modeldiff_core.experiments.adopted.descriptions import described_step
from modeldiff_core.experiments.adopted.findings import direction_entries
from modeldiff_core.experiments.adopted.report import adopted_report_step, draw_adopted
from modeldiff_core.experiments.adopted.scores import scored_directions_step
from modeldiff_core.experiments.adopted.stored import Stored
from modeldiff_core.experiments.adopted.summary import adopted_summary_step, summarize_adopted
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.plan import Label, Product, Record, Reference, Step, Wave, later
from modeldiff_core.responses.products import Matrix
from modeldiff_core.stages.blocks import Blocks
from modeldiff_core.stages.datamodels import datamodel_waves
from modeldiff_core.stages.directions import FOLDER, NullBlock
from modeldiff_core.stages.gram import FOLDER as GRAMS
from modeldiff_core.stages.score import Score
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study.adopted import AdoptedStudy

ADOPT_AGAIN = "What was adopted is made whole by adopting it again: modeldiff adopt ..."


@dataclass(frozen=True)
class CompareAdopted:
    """A comparison of two stored sets of margins or attributions."""

    comparison: AdoptedComparison
    kind: ClassVar[str] = "compare_adopted"
    settings: ClassVar[type[BaseModel]] = AdoptedStudy
    command: ClassVar[str] = "compare-adopted"

    @classmethod
    def of(cls, study: AdoptedStudy, store: ObjectStore) -> "CompareAdopted":
        """Find both sides in the store; raises ConfigError for sides that cannot be compared."""
        return cls(AdoptedComparison.of(store, study))

    @property
    def name(self) -> str:
        return self.comparison.study.name

    @property
    def tags(self) -> tuple[str, ...]:
        return self.name, self.comparison.a.name, self.comparison.b.name

    @property
    def digest(self) -> str:
        return self.comparison.digest

    @property
    def folders(self) -> tuple[str, ...]:
        return (*dict.fromkeys(side.folder for side in self.comparison.sides.values()), self.comparison.folder)

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
        return []

    def now(self, store: ObjectStore) -> "CompareAdopted":
        return self

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield what was adopted, then regression, directions, their ends, summary and report."""
        comparison, name = self.comparison, self.name
        sides = {side.reference.key: (which, side) for which, side in comparison.sides.items()}.values()
        yield Wave("adopted results", tuple(step for which, side in sides for step in _adopted(which, side)))
        if comparison.a.kind == "margins":
            fits = {f"{name} {words}": fit for words, fit in comparison.regressions().items()}
            yield from datamodel_waves(store, fits, name)
            scores = tuple(
                Score(fit).step(f"{name} scores of {which}, {kind}", Label("scores", "score", ("evaluation",)))
                for (which, kind), fit in comparison.scored().items()
            )
            yield Wave("directions and null", (*scores, *self._directions()))
        else:
            yield Wave("directions", tuple(self._directions()))
        yield later("subpopulations", "directions and their null are there", lambda: self._described(store))
        needs = tuple(step.reference for step in self._directions())
        yield Wave("summary", (adopted_summary_step(comparison, needs, Label("summary", "summary", ("report",))),))
        yield Wave("report", (adopted_report_step(comparison, Label("report", "report", ("report",))),))

    def advice(self, store: ObjectStore) -> list[str]:
        return []

    def redraw(self, store: ObjectStore) -> None:
        summarize_adopted(store, self.comparison)
        draw_adopted(store, self.comparison)

    def shown(self, store: ObjectStore) -> Shown:
        comparison = self.comparison
        summary = read_record(store, comparison.summary.record)
        columns = ("side", "index", "null_p", "p_adjusted", "significant")
        rows = [{column: entry[column] for column in columns} for entry in summary["directions"]]
        figures = sorted(key for key in store.sizes(f"{comparison.folder}/report/figures") if key.endswith(".png"))
        return Shown(
            f"{comparison.a.name} against {comparison.b.name}",
            tuple(summary["findings"]),
            (Table("directions", rows, "Residual directions of both sides"),),
            tuple(figures),
            {
                "Summary": store.url(comparison.summary.record),
                "Table": f"{store.url(comparison.folder)}/directions.csv",
                "Report": store.url(comparison.report.record),
            },
        )

    def _directions(self) -> Iterator[Step]:
        comparison, label = self.comparison, Label("directions", "directions", ("comparison",))
        if comparison.a.kind == "datamodels":
            yield scored_directions_step(comparison, label)
            return
        yield comparison.pair.step(f"{self.name} directions", label)
        for block in comparison.null_blocks:
            null = Label("blocks of the null", "null", ("comparison",))
            yield NullBlock(comparison.pair, block).step(f"{self.name} null block {block}", null)

    def _described(self, store: ObjectStore) -> list[Step]:
        if not self.comparison.behind.fingerprint:
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
