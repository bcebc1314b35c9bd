"""The experiment ``compare``: how two learning algorithms differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import BaseModel

from modeldiff_core.experiments.compare.check import check_study
from modeldiff_core.experiments.compare.compared import TwoSides
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.findings import read_findings
from modeldiff_core.experiments.compare.matrix_free import comparison_of
from modeldiff_core.experiments.compare.matrix_free_plan import plan_of
from modeldiff_core.experiments.compare.plan import rounds
from modeldiff_core.experiments.compare.report import report_facts
from modeldiff_core.experiments.compare.rounds import current_round, learned
from modeldiff_core.experiments.compare.shown import row, shown
from modeldiff_core.experiments.compare.summary import TABLE, build_summary, effects_table, study_record
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.experiments.reported import Content
from modeldiff_core.plan import Wave
from modeldiff_core.report import render
from modeldiff_core.report.recheck import check_table
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study import StudyConfig, load_dataset

FAILED_BY_VERDICT = 3
"""Exit code of a comparison whose verdict is one of verdict.fail_on."""


@dataclass(frozen=True)
class Compare(TwoSides):
    """A comparison, and how far the rounds of an adaptive one have come."""

    comparison: Comparison
    kind: ClassVar[str] = "compare"
    settings: ClassVar[type[BaseModel]] = StudyConfig
    command: ClassVar[str] = "compare"
    beside: ClassVar[tuple[str, ...]] = ("study.json", TABLE)

    @classmethod
    def of(cls, study: StudyConfig, store: ObjectStore) -> "Compare":
        """Load the data and name the two trainings."""
        return cls(comparison_of(study))

    def check(self) -> list[str]:
        return check_study(self.study, load_dataset(self.study.dataset), self.comparison.trainings)

    def now(self, store: ObjectStore) -> "Compare":
        return replace(self, comparison=current_round(store, self.comparison).comparison)

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield rounds of training and learning curves while an adaptive design asks for more, then all the rest."""
        yield from rounds(store, self.comparison)
        settled = self.now(store)
        plan = plan_of(settled.comparison)
        yield from plan.waves(store)
        yield from settled.ending(plan.results(store))

    def advice(self, store: ObjectStore) -> list[str]:
        return learned(self.now(store).comparison, store)

    def remarks(self) -> list[str]:
        method = self.study.comparison.method
        if method in ("contrast", "matrix_free"):
            return []
        return [
            f"This study compares residuals (comparison.method={method}, hypothesis=identical); new studies test "
            "with a "
            "contrast whether both algorithms rely on the same training examples (method=contrast, "
            "hypothesis=reliance)."
        ]

    def exit_code(self, store: ObjectStore) -> int:
        fail_on = self.study.verdict.fail_on
        if not fail_on:
            return 0
        answer = read_record(store, self.now(store).summary.record)["verdict"]["answer"]
        return FAILED_BY_VERDICT if answer in fail_on else 0

    def conclude(self, store: ObjectStore) -> tuple[dict[str, Any], dict[str, Content]]:
        comparison, findings = self.comparison, read_findings(store, self.comparison)
        beside: dict[str, Content] = {"study.json": study_record(comparison, findings), TABLE: effects_table(findings)}
        return build_summary(comparison, findings), beside

    def check_beside(self, store: ObjectStore, name: str, expected: Content) -> None:
        if isinstance(expected, bytes):
            check_table(store, f"{self.folder}/{name}", expected)

    def pages(self, store: ObjectStore) -> dict[str, bytes]:
        return render(report_facts(store, self.comparison))

    def row(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        return row(summary)

    def shown(self, store: ObjectStore) -> Shown:
        settled = self.now(store)
        links = {"Report": store.url(settled.report.record)}
        return replace(shown(settled.comparison, store), figures=settled.drawn(store), links=links)
