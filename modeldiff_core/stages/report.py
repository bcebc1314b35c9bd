"""Stage: draw the report of a finished comparison."""

import hashlib
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from modeldiff_core.identity import plain
from modeldiff_core.report import render
from modeldiff_core.report.facts import (
    AlgorithmFacts,
    CurveFacts,
    DirectionFacts,
    EffectFacts,
    EstimatorFacts,
    EstimatorScore,
    ReportFacts,
)
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.references import open_store
from modeldiff_core.stages.summary import EstimatorScores, Findings, read_findings
from modeldiff_core.store import ObjectStore, read_record, write_record
from modeldiff_core.study import parse_study
from modeldiff_core.transformations import build

FILES = "files.json"
"""Record of a report's checksums."""

SHOWN = 6
"""Pairs of images before and after a transformation."""


def write_report(store: dict[str, Any], study: dict[str, Any]) -> dict[str, Any]:
    """Draw all figures and pages into ``report/``, the page last."""
    objects, comparison = open_store(store), Comparison.of(parse_study(study))
    write_files(objects, comparison.folder, comparison.digest, render(report_facts(objects, comparison)))
    return comparison.report.to_json()


def write_files(store: ObjectStore, folder: str, digest: str, files: Mapping[str, bytes]) -> None:
    """Put a report's files with the record of their checksums, the page last.

    digest: of the comparison that they show.
    """
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    for name in sorted(files.keys() - {"index.html"}):
        store.write(f"{folder}/report/{name}", files[name])
    write_record(store, f"{folder}/report/{FILES}", {"digest": digest, "sha256": sums})
    store.write(f"{folder}/report/index.html", files["index.html"])


def report_facts(store: ObjectStore, comparison: Comparison) -> ReportFacts:
    """Everything that the report shows, from the store."""
    findings = read_findings(store, comparison)
    summary = read_record(store, comparison.summary.record)
    data = comparison.trainings[0].load()
    study = comparison.study
    algorithms = [
        AlgorithmFacts(
            name=config.name,
            settings={"kind": config.kind, "seed": config.seed, **_recipe(comparison, which)},
            subset_models=scores["models"],
            diverged=scores["diverged"],
            ensemble_models=study.ensemble.models,
            subset_accuracy=scores["subset_accuracy"],
            ensemble_accuracy=scores["ensemble_accuracy"],
            lds_mean=scores["lds"]["mean"],
            lds_low=scores["lds"]["ci_low"],
            lds_high=scores["lds"]["ci_high"],
        )
        for which, (config, scores) in enumerate(
            zip((study.algorithm_a, study.algorithm_b), findings.scores, strict=True)
        )
    ]
    task = comparison.trainings[0].task()
    return ReportFacts(
        study=study.name,
        digest=comparison.digest,
        dataset={**study.dataset.model_dump(), "training examples": len(task.train), "targets": len(task.targets)},
        classes=data.classes,
        a=algorithms[0],
        b=algorithms[1],
        similarity=summary["similarity"],
        directions=direction_facts(summary["directions"], findings),
        null=findings.null,
        effects=tuple(_effects(comparison, findings)),
        train=task.train,
        targets=task.targets,
        config=study.model_dump(mode="json"),
        versions=versions(),
        findings=tuple(summary["findings"]),
        estimators=_estimators(comparison, findings),
    )


def direction_facts(entries: list[dict[str, Any]], findings: Findings) -> tuple[DirectionFacts, ...]:
    """The ``directions`` of summary.json with the arrays behind them."""
    return tuple(
        DirectionFacts(
            side=entry["side"],
            index=entry["index"],
            variance_a=entry["explained_variance"]["a"],
            variance_b=entry["explained_variance"]["b"],
            in_sample_a=entry["explained_variance_in_sample"]["a"],
            in_sample_b=entry["explained_variance_in_sample"]["b"],
            null_p=entry["null_p"],
            stability=entry["stability"],
            significant=entry["significant"],
            projections=findings.side(entry["side"], "projections")[:, entry["index"]],
            weights=findings.side(entry["side"], "directions")[entry["index"]],
        )
        for entry in entries
    )


def _estimators(comparison: Comparison, findings: Findings) -> tuple[EstimatorFacts, ...]:
    study, full = comparison.study, f"{comparison.study.ensemble.models:,} models on all data"
    own, held = study.regression.estimator, study.subsets.evaluation_models
    sources = {kind: full if fit.checkpoints else "" for (_, kind), (_, fit) in comparison.scored().items()}
    return tuple(estimator_facts(one, one.kind == own, held, sources[one.kind]) for one in findings.estimators)


def estimator_facts(found: EstimatorScores, used: bool, held: int, source: str = "") -> EstimatorFacts:
    """One estimator's line; held: models kept from it; source: what it is made from if not the other subset models."""
    a, b = (
        EstimatorScore(
            scores["lds"]["mean"], scores["lds"]["ci_low"], scores["lds"]["ci_high"],
            math.nan if seconds is None else seconds,
        )
        for scores, seconds in zip(found.scores, found.seconds, strict=True)
    )  # fmt: skip
    models = " and ".join(dict.fromkeys(f"{scores['models'] - held:,}" for scores in found.scores))
    return EstimatorFacts(found.kind, source or f"{models} subset models", used, a, b)


def versions() -> dict[str, str]:
    """Versions of what decides rounding."""
    return {"python": platform.python_version(), **{p: version(p) for p in ("torch", "numpy", "scikit-learn")}}


def _recipe(comparison: Comparison, which: int) -> dict[str, object]:
    recipe = plain(comparison.trainings[which].identity["algorithm"]["recipe"])
    assert isinstance(recipe, dict)
    return recipe


def _effects(comparison: Comparison, findings: Findings) -> list[EffectFacts]:
    targets = comparison.trainings[0].task().targets
    classes = comparison.trainings[0].load().classes
    height, width, channels = targets.images.shape[1:]
    out = []
    for of_a, _ in comparison.effects():
        rows = [row for row in findings.effects if row["name"] == of_a.test.name]
        last = rows[-1]
        before = targets.images[of_a.images()[:SHOWN]]
        transformation = build(of_a.test, (height, width, channels))
        parameters = ", ".join(f"{name} {value}" for name, value in of_a.test.parameters.items())
        out.append(
            EffectFacts(
                name=of_a.test.name,
                description=f"{of_a.test.kind} ({parameters})" if parameters else of_a.test.kind,
                class_name=None if of_a.test.target_class is None else classes[of_a.test.target_class],
                intensities=np.array(of_a.test.intensities),
                a=_curve(rows, "a"),
                b=_curve(rows, "b"),
                difference=last["difference"],
                difference_low=last["low"],
                difference_high=last["high"],
                p_adjusted=last["p_adjusted"],
                distinguishing=last["distinguishing"],
                images=last["images"],
                before=before,
                after=transformation(before, of_a.test.intensities[-1]),
            )
        )
    return out


def _curve(rows: list[dict[str, Any]], name: str) -> CurveFacts:
    effect, low, high = (np.array([row[f"{part}_{name}"] for row in rows]) for part in ("effect", "low", "high"))
    return CurveFacts(effect, low, high)
