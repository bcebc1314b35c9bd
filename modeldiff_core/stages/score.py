"""Stage: how good the models are, and how well their datamodels predict unseen ones."""

from dataclasses import asdict
from typing import Any

import numpy as np

from modeldiff_core.evaluation import scores_with_intervals
from modeldiff_core.identity import digest
from modeldiff_core.stages.references import Reference, open_store, refer
from modeldiff_core.stages.regress import read_datamodels
from modeldiff_core.stages.regression import Regression
from modeldiff_core.store import MarginMatrix, ObjectStore, read_tensors, shard_key, write_record
from modeldiff_core.study import Training, shards_of

VERSION = 2


def score_reference(spec: Training, regression: Regression, ensemble_models: int) -> Reference:
    """Where the scores stand."""
    identity = {"version": VERSION, "datamodels": regression.reference.digest, "ensemble": ensemble_models,
                "training": digest(spec.identity)}  # fmt: skip
    return refer(spec.prefix, "scores", identity)


def score(
    store: dict[str, Any], training: dict[str, Any], regression: dict[str, Any], ensemble_models: int
) -> dict[str, Any]:
    """Accuracies, number of diverged models, and the linear datamodeling score on the models kept for evaluation."""
    objects, spec, fit = open_store(store), Training.from_json(training), Regression.from_json(regression)
    labels = spec.task().targets.labels
    logits = np.concatenate(
        [
            read_tensors(objects, shard_key(spec.ensemble, i), spec.identity).arrays["logits"]
            for i in range(shards_of(ensemble_models, spec.ensemble_shard_size))
        ]
    )[:ensemble_models]
    reference = score_reference(spec, fit, ensemble_models)
    record = {
        "digest": reference.digest,
        "ensemble_accuracy": float((logits.argmax(-1) == labels).mean()),
        **score_datamodels(objects, fit),
    }
    write_record(objects, reference.record, record)
    return reference.to_json()


def score_datamodels(store: ObjectStore, fit: Regression) -> dict[str, Any]:
    """What the matrix and its datamodels alone say: their score, and how many models there are and how accurate.

    largest_gap: null for estimators that have no duality gap.
    """
    matrix = MarginMatrix.open(store, fit.matrix.key)
    margins, valid = matrix.margins(), matrix.valid()
    held = valid & (np.arange(len(valid)) < fit.first)
    fitted = read_datamodels(store, fit)
    gap = float(fitted.duality_gap.max())
    scores = scores_with_intervals(fitted.weights, fitted.bias, matrix.masks()[held], margins[held])
    return {
        "lds": asdict(scores.spearman),
        "pearson": asdict(scores.pearson),
        "r2": asdict(scores.r2),
        "subset_accuracy": float((margins[valid] > 0).mean()),
        "models": int(valid.sum()),
        "diverged": int((~valid).sum()),
        "largest_gap": gap if np.isfinite(gap) else None,
        "non_zero": float((fitted.weights != 0).mean()),
    }
