"""Stage: the score of a round on the ablations held out for it; and how far the rounds have come in a store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modeldiff_core.evaluation.lds import scores_with_intervals
from modeldiff_core.experiments.components.parts import Parts
from modeldiff_core.experiments.components.settings import RoundsConfig
from modeldiff_core.plan import Label, Record, Reference, Step, refer
from modeldiff_core.plan.products import read_digested
from modeldiff_core.stages.regress import read_datamodels
from modeldiff_core.stages.regression import Regression
from modeldiff_core.store import MarginMatrix, ObjectStore, write_record

VERSION = 1


@dataclass(frozen=True)
class RoundScore:
    """The mean correlation over targets on the first `regression.first` rows of its matrix."""

    regression: Regression

    @property
    def reference(self) -> Reference:
        """Where it is."""
        identity = {"version": VERSION, "datamodels": self.regression.reference.digest}
        return refer(self.regression.folder, "round", identity)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes it."""
        return Step(name, Record(self.reference), score_round, self, (self.regression.reference,), label)


def score_round(store: ObjectStore, spec: RoundScore) -> None:
    """Write the score."""
    fit, matrix = spec.regression, MarginMatrix.open(store, spec.regression.matrix.key)
    held = matrix.valid() & (np.arange(len(matrix.valid())) < fit.first)
    fitted = read_datamodels(store, fit)
    scores = scores_with_intervals(fitted.weights, fitted.bias, matrix.masks()[held], matrix.margins()[held])
    write_record(store, spec.reference.record, {"digest": spec.reference.digest, "rho": scores.pearson.mean})


@dataclass(frozen=True)
class Settled:
    """How far rounds have come. rows: fitted ablations of the round that is due or the last. scores: of those done."""

    rows: int
    last: bool
    scores: tuple[tuple[int, float], ...]


def settled(store: ObjectStore, parts: Mapping[int, Parts]) -> Settled:
    """Return the first round whose scores are not all there, or the one that the study ends with."""
    first = next(iter(parts.values()))
    sizes, asked = first.sizes(), first.study.ablation
    if not asked.adaptive:
        return Settled(asked.rows, True, ())
    scores: list[tuple[int, float]] = []
    for rows in sizes:
        specs = [RoundScore(one.regression(rows)) for one in parts.values()]
        if not all(store.exists(spec.reference.record) for spec in specs):
            return Settled(rows, False, tuple(scores))
        scores.append((rows, float(np.mean([read_digested(store, spec.reference)["rho"] for spec in specs]))))
        if ended([score for _, score in scores], asked.rounds):
            break
    return Settled(scores[-1][0], True, tuple(scores))


def ended(scores: Sequence[float], rounds: RoundsConfig) -> bool:
    """Return whether the wished correlation is reached, or the last round raised it too little."""
    if rounds.wished is not None and scores[-1] >= rounds.wished:
        return True
    return len(scores) > 1 and scores[-1] - scores[-2] < rounds.least_gain
