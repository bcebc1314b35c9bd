"""What the report of a comparison of adopted results shows, with what is known of the examples behind them."""

import math
from typing import Any

from modeldiff_core.experiments.adopted.comparison import AdoptedComparison
from modeldiff_core.experiments.adopted.findings import read_adopted_findings
from modeldiff_core.experiments.adopted.stored import Stored
from modeldiff_core.experiments.compare.report import direction_facts, estimator_facts, versions
from modeldiff_core.report.facts import AlgorithmFacts, ReportFacts
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study import load_dataset


def adopted_facts(store: ObjectStore, comparison: AdoptedComparison) -> ReportFacts:
    """Return everything that the report shows, from the store.

    The methods page says how directions were tested, which those of ready attributions never are.
    """
    study, known, findings = comparison.study, comparison.known, read_adopted_findings(store, comparison)
    summary = read_record(store, comparison.summary.record)
    named = {} if study.dataset is None else study.dataset.model_dump()
    a, b = (_algorithm(side, s) for side, s in zip((comparison.a, comparison.b), findings.scores, strict=True))
    return ReportFacts(
        study=study.name,
        digest=comparison.digest,
        dataset={**named, "training examples": len(known.train), "targets": len(known.targets)},
        classes=known.classes,
        a=a,
        b=b,
        similarity=summary["similarity"],
        directions=direction_facts(summary["directions"], findings, known.train, known.targets),
        null=findings.null,
        effects=(),
        train=known.train,
        targets=known.targets,
        config=study.model_dump(mode="json"),
        versions=versions(),
        findings=tuple(summary["findings"]),
        estimators=tuple(
            estimator_facts(one, one.kind == study.regression.estimator, study.evaluation_models)
            for one in findings.estimators
        ),
        command=("modeldiff", "compare-adopted", "study=study.json"),
        inventory=None if study.dataset is None else load_dataset(study.dataset).inventory,
        origin="margins" if comparison.a.kind == "margins" else "attributions",
    )


def _algorithm(side: Stored, scores: dict[str, Any]) -> AlgorithmFacts:
    """Return what is known of an algorithm whose full-data models are not here, or none of whose models are."""
    lds = scores.get("lds", dict.fromkeys(("corrected", "ci_low", "ci_high"), math.nan))
    return AlgorithmFacts(
        name=side.name,
        settings={"source": side.reference.key},
        subset_models=scores.get("models", 0),
        diverged=scores.get("diverged", 0),
        ensemble_models=0,
        subset_accuracy=scores.get("subset_accuracy", math.nan),
        ensemble_accuracy=math.nan,
        lds_mean=lds["corrected"],
        lds_low=lds["ci_low"],
        lds_high=lds["ci_high"],
        left_out=scores.get("left_out", 0),
    )
