"""Stage: how good the models are, and how well their datamodels predict unseen ones."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from modeldiff_core.datamodels import Datamodels
from modeldiff_core.evaluation import scores_with_intervals
from modeldiff_core.evaluation.reliability import bank_of, reliability
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.plan import Label, Record, Reference, Step, refer
from modeldiff_core.responses import FullModels
from modeldiff_core.stages.effects import full_models
from modeldiff_core.stages.regress import read_datamodels
from modeldiff_core.stages.regression import Regression, replicates_of
from modeldiff_core.store import MarginMatrix, ObjectStore, write_record
from modeldiff_core.study import Training

VERSION = 4
VERSION_ALONE = 5
"""Version of the scores of margins without full-data models."""


@dataclass(frozen=True)
class TrainedScore:
    """The scores of a training's datamodels, and the accuracies of its subset models and its first full-data models."""

    training: Training
    regression: Regression
    full_models: int

    @property
    def reference(self) -> Reference:
        """Where the scores are."""
        identity = {
            "version": VERSION,
            "datamodels": self.regression.reference.digest,
            "ensemble": self.full_models,
            "training": self.training.digest,
        }
        return refer(self.training.prefix, "scores", identity)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes it."""
        needs = (self.regression.reference, *full_models(self.training, self.full_models))
        return Step(name, Record(self.reference), score, self, needs, label)


@dataclass(frozen=True)
class Score:
    """The scores of datamodels whose margins are all that is known."""

    regression: Regression

    @property
    def reference(self) -> Reference:
        """Where the scores are."""
        identity = {"version": VERSION_ALONE, "datamodels": self.regression.reference.digest}
        return refer(self.regression.folder, "scores", identity)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes it."""
        return Step(name, Record(self.reference), score_alone, self, (self.regression.reference,), label)


def score(store: ObjectStore, spec: TrainedScore) -> None:
    """Write accuracies, the number of diverged models, and the score on the models kept for evaluation.

    Without classes there is no accuracy.
    """
    targets = spec.training.task().targets
    labels = targets.labels
    logits = FullModels(spec.training).logits(store, spec.full_models)
    record = {
        "digest": spec.reference.digest,
        "ensemble_accuracy": float((logits.argmax(-1) == labels).mean()) if targets.classed else None,
        **score_datamodels(store, spec.regression, spec.training.output),
    }
    write_record(store, spec.reference.record, record)


def reliability_of(matrix: MarginMatrix, fit: Regression, fitted: Datamodels) -> dict[str, Any]:
    """Return the scores against one model of a mask and against the mean of all, and what chance allows of either.

    Nothing where held-out masks have one model each.
    """
    replicates = replicates_of(matrix)
    held = np.flatnonzero(replicates.begun_before(fit.first))
    bank, first = bank_of(matrix.margins()[held], replicates.groups[held], matrix.valid()[held])
    if bank.shape[1] < 2 or len(bank) < 3:
        return {}
    masks = matrix.masks()[held][first].astype(np.float32)
    found = reliability(masks @ fitted.weights.T + fitted.bias, bank)
    return {} if found is None else {"reliability": asdict(found)}


def score_alone(store: ObjectStore, spec: Score) -> None:
    """Write what the matrix and its datamodels alone say."""
    content = {"digest": spec.reference.digest, **score_datamodels(store, spec.regression)}
    write_record(store, spec.reference.record, content)


def score_datamodels(store: ObjectStore, fit: Regression, output: str = "margin") -> dict[str, Any]:
    """Return the score of datamodels, and from the matrix how many models there are and how accurate they are.

    largest_gap: None for estimators that have no duality gap.
    """
    matrix = MarginMatrix.open(store, fit.matrix.key)
    margins, valid, right = matrix.margins(), matrix.valid(), OUTPUTS.get(output).right_above
    held = valid & replicates_of(matrix).begun_before(fit.first)
    fitted = read_datamodels(store, fit)
    gap = float(fitted.duality_gap.max())
    scores = scores_with_intervals(fitted.weights, fitted.bias, matrix.masks()[held], margins[held])
    return {
        "lds": asdict(scores.spearman),
        "pearson": asdict(scores.pearson),
        "r2": asdict(scores.r2),
        **reliability_of(matrix, fit, fitted),
        "subset_accuracy": None if right is None else float((margins[valid] > right).mean()),
        "models": int(valid.sum()),
        "diverged": len(matrix.record["diverged"]),
        **({"left_out": len(matrix.left_out)} if matrix.left_out else {}),
        "largest_gap": gap if np.isfinite(gap) else None,
        "non_zero": float((fitted.weights != 0).mean()),
    }
