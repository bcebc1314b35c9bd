"""Stage: draw the report of a comparison of adopted margins, where the dataset behind them is known."""

import math
from typing import Any

from modeldiff_core.report import render
from modeldiff_core.report.facts import AlgorithmFacts, ReportFacts
from modeldiff_core.stages.adopted import AdoptedComparison, read_adopted_findings
from modeldiff_core.stages.references import Reference
from modeldiff_core.stages.report import direction_facts, estimator_facts, versions, write_files
from modeldiff_core.stages.stored import Stored
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study import load_dataset, target_examples


def write_adopted_report(store: ObjectStore, comparison: AdoptedComparison) -> Reference | None:
    """Draw all figures and the page, the page last; None without the images to show, or for ready attributions.

    The page says how directions were tested, which those of ready attributions never are.
    """
    if comparison.study.dataset is None or comparison.a.kind == "datamodels":
        return None
    write_files(store, comparison.folder, comparison.digest, render(_facts(store, comparison)))
    return Reference(comparison.folder, comparison.digest, f"{comparison.folder}/report/index.html")


def _facts(store: ObjectStore, comparison: AdoptedComparison) -> ReportFacts:
    study, findings = comparison.study, read_adopted_findings(store, comparison)
    assert study.dataset is not None
    summary, data = read_record(store, comparison.summary.record), load_dataset(study.dataset)
    targets = target_examples(data, comparison.a.n_targets)
    a, b = (_algorithm(side, s) for side, s in zip((comparison.a, comparison.b), findings.scores, strict=True))
    return ReportFacts(
        study=study.name,
        digest=comparison.digest,
        dataset={**study.dataset.model_dump(), "training examples": len(data.train), "targets": len(targets)},
        classes=data.classes,
        a=a,
        b=b,
        similarity=summary["similarity"],
        directions=direction_facts(summary["directions"], findings),
        null=findings.null,
        effects=(),
        train=data.train,
        targets=targets,
        config=study.model_dump(mode="json"),
        versions=versions(),
        findings=tuple(summary["findings"]),
        estimators=tuple(
            estimator_facts(one, one.kind == study.regression.estimator, study.evaluation_models)
            for one in findings.estimators
        ),
        command=("modeldiff", "compare-adopted", f"name={study.name}", f"a={study.a}", f"b={study.b}"),
    )


def _algorithm(side: Stored, scores: dict[str, Any]) -> AlgorithmFacts:
    """What is known of an algorithm whose full-data models are not here."""
    return AlgorithmFacts(
        name=side.name,
        settings={"source": side.reference.key},
        subset_models=scores["models"],
        diverged=scores["diverged"],
        ensemble_models=0,
        subset_accuracy=scores["subset_accuracy"],
        ensemble_accuracy=math.nan,
        lds_mean=scores["lds"]["mean"],
        lds_low=scores["lds"]["ci_low"],
        lds_high=scores["lds"]["ci_high"],
    )
