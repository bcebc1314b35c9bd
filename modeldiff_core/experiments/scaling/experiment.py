"""The experiment ``scaling_adopted``: the scaling laws of a table of runs that others made, without any training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.experiments.scaling.figures import scaling_plots
from modeldiff_core.experiments.scaling.fits import Fits
from modeldiff_core.experiments.scaling.page import findings, tables
from modeldiff_core.experiments.scaling.settings import ScalingAdoptedStudy
from modeldiff_core.experiments.scaling.stored import FOLDER, StoredRuns
from modeldiff_core.identity import digest
from modeldiff_core.plan import Label, Step, Wave
from modeldiff_core.report.figures import Plot
from modeldiff_core.scaling import Runs
from modeldiff_core.scaling.forms import law_forms
from modeldiff_core.scaling.law import Options, fit_law
from modeldiff_core.scaling.rates import best_rates
from modeldiff_core.store import ObjectStore, read_record


@dataclass(frozen=True)
class ScalingAdopted(OnePage):
    """A table of runs (N, D, S, C, loss), fitted and asked (arXiv 2501.12370)."""

    study: ScalingAdoptedStudy
    kind: ClassVar[str] = "scaling_adopted"
    settings: ClassVar[type[BaseModel]] = ScalingAdoptedStudy

    @classmethod
    def of(cls, study: ScalingAdoptedStudy, store: ObjectStore) -> "ScalingAdopted":
        """Return the experiment; raises ConfigError for a table that cannot be read or fitted, and unknown laws."""
        experiment = cls(study)
        experiment.fits.check()
        return experiment

    @cached_property
    def runs(self) -> Runs:
        """The runs of the table, as it is now."""
        return Runs.from_csv(self.study.table, self.study.factor, self.study.vocabulary)

    @cached_property
    def fits(self) -> Fits:
        """Laws and answers of the table's values: wherever it lies, the same values have the same results."""
        columns = {name: values.tolist() for name, values in self.runs.columns().items()}
        identity = digest({"columns": columns, "cell": list(self.runs.cell), "notes": list(self.runs.notes)})
        return Fits(StoredRuns(identity), self.study.fits)

    @property
    def digest(self) -> str:
        return digest({"experiment": self.kind, "version": self.version, "answers": self.fits.reference.digest})

    @property
    def shared(self) -> tuple[str, ...]:
        return (FOLDER,)

    def check(self) -> list[str]:
        """Fit each law without a bootstrap, which raises ConfigError for runs that do not vary what it needs."""
        runs, told = best_rates(self.runs)
        for name in self.study.fits.laws:
            fit_law(runs, law_forms().get(name), Options(draws=0))
        return [*self.runs.notes, *told]

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        stored = self.fits.runs
        spec = Adopted(stored, self.study.table, self.study.factor)
        name = f"table {self.study.table}"
        yield Wave("adopting", (Step(name, stored.product, adopt_table, spec, (), Label("tables", "adopt")),))
        yield from self.fits.waves()

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        found = self.fits.read(store)
        return {name: value for name, value in found.items() if name != "digest"} | {"findings": list(findings(found))}

    def present(self, summary: Mapping[str, Any]) -> Shown:
        title = f"Sparsity, size and budget in {self.name}"
        return Shown(title, findings(summary), tables(summary))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        return scaling_plots(self.fits.runs.best(store), self.fits.laws[0].read(store), summary)

    def advice(self, store: ObjectStore) -> list[str]:
        """Return what narrower answers cost, once the runs are fitted."""
        try:
            summary = read_record(store, self.summary.record)
        except FileNotFoundError:
            return []
        return [line for line in summary["findings"] if line.startswith(("To bring", "No number"))]

    def row(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        return {"runs": summary["runs"]["count"], "noise": summary["laws"][0]["noise"]}


@dataclass(frozen=True)
class Adopted:
    """A table and the runs that it holds. factor: see ``Runs.check_units``."""

    runs: StoredRuns
    table: str
    factor: float


def adopt_table(store: ObjectStore, spec: Adopted) -> None:
    """Put the runs of a table into the store; raises ConfigError where it is no longer the table that was asked for."""
    runs = Runs.from_csv(spec.table, spec.factor)
    columns = {name: values.tolist() for name, values in runs.columns().items()}
    found = digest({"columns": columns, "cell": list(runs.cell), "notes": list(runs.notes)})
    if found != spec.runs.identity:
        hint = "It was changed: start again"
        raise ConfigError("table", "the table that the study was planned with", spec.table, hint)
    spec.runs.write(store, runs)
