"""The experiment ``scaling``: a grid of trainings with budgets of FLOPs, their losses, and laws of those."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

from pydantic import BaseModel

from modeldiff_core.data.text import ABSENT, fingerprint_of
from modeldiff_core.experiments.experiment import KIND, Shown
from modeldiff_core.experiments.moe_grid.choices import Halving, Rule
from modeldiff_core.experiments.moe_grid.corpus import FOLDER, Corpus
from modeldiff_core.experiments.moe_grid.figures import drawn_plots
from modeldiff_core.experiments.moe_grid.grid import Cell, Cells
from modeldiff_core.experiments.moe_grid.laws import check_fits, collecting
from modeldiff_core.experiments.moe_grid.present import presented
from modeldiff_core.experiments.moe_grid.settings import ScalingStudy
from modeldiff_core.experiments.moe_grid.summarize import summarized
from modeldiff_core.experiments.moe_grid.table import csv_of
from modeldiff_core.experiments.moe_grid.training import Rung, Training
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.experiments.reported import Content
from modeldiff_core.experiments.scaling.figures import scaling_plots
from modeldiff_core.experiments.scaling.fits import Fits
from modeldiff_core.experiments.scaling.stored import FOLDER as RUNS_FOLDER
from modeldiff_core.experiments.scaling.stored import StoredRuns
from modeldiff_core.identity import digest
from modeldiff_core.plan import Step, Wave, later
from modeldiff_core.plan.failures import read_failure
from modeldiff_core.report.figures import Plot
from modeldiff_core.store import ObjectStore, read_record

RUNS = "runs.csv"
GPU = 4e14
"""FLOPs that a GPU does in a second of training: 40 % of what an H100 does in bfloat16 (989 TFLOP/s)."""


@dataclass(frozen=True)
class Scaling(OnePage):
    """How sparse a mixture of experts of N parameters should be at a training budget C (arXiv 2501.12370)."""

    study: ScalingStudy
    kind: ClassVar[str] = "scaling"
    settings: ClassVar[type[BaseModel]] = ScalingStudy
    beside: ClassVar[tuple[str, ...]] = (RUNS,)

    @classmethod
    def of(cls, study: ScalingStudy, store: ObjectStore) -> "Scaling":
        """Return the experiment; raises ConfigError for a network or a sparsity that cannot be."""
        experiment = cls(study)
        assert experiment.cells.all
        if experiment.fits is not None:
            experiment.fits.check()
            check_fits(experiment, experiment.fits)
        return experiment

    @property
    def shared(self) -> tuple[str, ...]:
        assert FOLDER == RUNS_FOLDER
        return (FOLDER,)

    @cached_property
    def fits(self) -> Fits | None:
        """Laws and answers of the runs, None where none are asked."""
        asked = self.study.fits
        return None if asked is None else Fits(StoredRuns(self._digest_of({"fits"})), asked)

    @property
    def folder(self) -> str:
        """Where the summary and the report are stored, beside those of other kinds."""
        return f"scalings/{self.name}-{self.digest[:8]}"

    @cached_property
    def digest(self) -> str:
        return self._digest_of(set())

    def _digest_of(self, without: set[str]) -> str:
        settings = self.study.model_dump(mode="json", exclude={"name", KIND, "corpus", "tokens", *without})
        text = self.corpus.product.reference.digest
        return digest({"experiment": self.kind, "version": self.version, "text": text, "settings": settings})

    @cached_property
    def corpus(self) -> Corpus:
        """The text."""
        study = self.study
        source = study.corpus
        return Corpus(source, fingerprint_of(source), study.tokens, study.validation_share, study.split_seed)

    @cached_property
    def cells(self) -> Cells:
        """The cells of the grid."""
        return Cells(self.study, self.corpus)

    def check(self) -> list[str]:
        """Return warnings: text that is not there, runs of few steps, seeds that give no interval."""
        study, found = self.study, list[str]()
        if self.corpus.fingerprint == ABSENT:
            found.append("corpus: the text is not on this machine; the study can be planned, not run")
        rate = study.learning_rates[0]
        few = [cell for cell in self.cells.all if cell.training(rate, 0).steps < 100]
        if few:
            found.append(
                f"budgets: {len(few)} of {len(self.cells.all)} cells have fewer than 100 steps: {few[0].words}"
            )
        if study.seeds < 2:
            found.append("seeds: with one seed nothing is known of chance; give 2 or more")
        return found

    @cached_property
    def rule(self) -> Rule | None:
        """The rule of the learning rate, None where every rate of every cell is tried."""
        tuning, rates = self.study.tuning, self.study.learning_rates
        if not tuning.share:
            return None
        return Rule(tuple(one for cell in self.cells.tuned() for one in cell.trainings(rates, tuning.seeds)))

    def rates(self, store: ObjectStore, cell: Cell) -> tuple[float, ...]:
        """Return the learning rates of a cell before any is cut; raises FileNotFoundError before the rule is there."""
        rule = self.rule
        return self.study.learning_rates if rule is None else (rule.rate(store, cell.training(1.0, 0)),)

    def halvings(self, store: ObjectStore, cell: Cell) -> Iterator[Halving]:
        """Yield the comparisons of a cell's rates, each of those that the one before it kept."""
        rates = self.rates(store, cell)
        for share in self.study.halving.at:
            if len(rates) < 2:
                return
            trainings = cell.trainings(rates, self.study.seeds)
            keep = math.ceil(self.study.halving.keep * len(rates))
            rungs = tuple(Rung(one, max(1, math.ceil(share * one.steps))) for one in trainings)
            if rungs[0].until >= trainings[0].steps:
                return
            halving = Halving(rungs, keep)
            yield halving
            rates = tuple(halving.kept(store))

    def runs(self, store: ObjectStore, cell: Cell) -> tuple[Training, ...]:
        """Return the trainings of a cell that go to their end."""
        rates = self.rates(store, cell)
        for halving in self.halvings(store, cell):
            rates = tuple(halving.kept(store))
        return cell.trainings(rates, self.study.seeds)

    @cached_property
    def expected(self) -> tuple[float, ...]:
        """Predicted seconds of each wave of first parts and, last, of the trainings; their rates need not be known."""
        study, found, before = self.study, list[float](), 0.0
        rates = 1 if self.rule else len(study.learning_rates)
        each = sum(cell.training(study.learning_rates[0], 0).step().cost.seconds for cell in self.cells.all)
        for share in study.halving.at:
            found.append(rates * study.seeds * each * (share - before) if rates > 1 else 0.0)
            rates, before = math.ceil(study.halving.keep * rates), share
        return (*found, rates * study.seeds * each)

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        yield Wave("text", (self.corpus.step(),))
        rule = self.rule
        if rule is not None:
            steps = tuple(one.step("tuning runs") for one in rule.trainings)
            yield Wave("tuning", steps, noun="runs", verb="train")
            yield Wave("rule", (rule.step(),))
        for number, share in enumerate(self.study.halving.at):
            title = f"first {share:.0%} of the steps"
            waits = "the rule is there" if not number else "the rates before are compared"
            yield later(title, waits, partial(self._rungs, store, number), self.expected[number])
            yield later(f"comparison at {share:.0%}", waits, partial(self._comparisons, store, number), 1.0)
        yield later("training", "the learning rates are chosen", lambda: self._final(store), self.expected[-1])
        fits = self.fits
        if fits is not None:
            yield later("table of runs", "the learning rates are chosen", lambda: [collecting(self, store, fits)], 1.0)
            if read_failure(store, fits.runs.reference) is None:
                yield from fits.waves()

    def _at(self, store: ObjectStore, number: int) -> list[Halving]:
        """Return the comparisons of that number of all cells that have so many."""
        found = []
        for cell in self.cells.all:
            for at, halving in enumerate(self.halvings(store, cell)):
                if at == number:
                    found.append(halving)
                    break
        return found

    def _rungs(self, store: ObjectStore, number: int) -> list[Step]:
        before = self.study.halving.at[number - 1] if number else 0.0
        return [
            rung.step(math.ceil(before * rung.training.steps))
            for halving in self._at(store, number)
            for rung in halving.rungs
        ]

    def _comparisons(self, store: ObjectStore, number: int) -> list[Step]:
        return [halving.step() for halving in self._at(store, number)]

    def _final(self, store: ObjectStore) -> list[Step]:
        return [one.step() for cell in self.cells.all for one in self.runs(store, cell)]

    def advice(self, store: ObjectStore) -> list[str]:
        """Return what the trainings of the grid cost."""
        rates = 1 if self.rule else len(self.study.learning_rates)
        grid = [cell.training(self.study.learning_rates[0], 0) for cell in self.cells.all]
        flops = sum(one.flops for one in grid) * rates * self.study.seeds
        count = len(grid) * rates * self.study.seeds
        seconds = sum(one.step().cost.seconds for one in grid) * rates * self.study.seeds
        line = f"{count} runs of {len(grid)} cells, {flops:.3g} FLOPs"
        if self.rule:
            tuning = self.rule.trainings
            seconds += sum(one.step().cost.seconds for one in tuning)
            line += f"; {len(tuning)} more for the learning rate, {sum(one.flops for one in tuning):.3g} FLOPs"
            flops += sum(one.flops for one in tuning)
        if self.study.halving.at and rates > 1:
            line += " before any rate is cut"
        cores, hours = seconds / 3600, flops / GPU / 3600
        told = [line for line in self._findings(store) if line.startswith(("To bring", "No number"))]
        gpus = f"{hours:,.3g} GPU-hours at {GPU:.0e} FLOPs a second (40 % of an H100 in bfloat16)"
        return [f"{line}; about {cores:,.3g} hours of one CPU core, or {gpus}", *told]

    def _findings(self, store: ObjectStore) -> tuple[str, ...]:
        """Return the sentences of a finished study, nothing before."""
        try:
            return self.present(read_record(store, self.summary.record)).findings
        except FileNotFoundError:
            return ()

    def conclude(self, store: ObjectStore) -> tuple[dict[str, Any], dict[str, Content]]:
        summary, _ = super().conclude(store)
        return summary, {RUNS: csv_of(summary)}

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        return summarized(self, store)

    def present(self, summary: Mapping[str, Any]) -> Shown:
        return presented(self.name, summary)

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        found, fits = drawn_plots(summary), self.fits
        if fits is None or summary["laws"] is None:
            return found
        return {**scaling_plots(fits.runs.best(store), fits.laws[0].read(store), summary["laws"]), **found}
