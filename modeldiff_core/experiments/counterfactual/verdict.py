"""Stage: predicted and actual changes of every target with their correlation, and a page that shows them."""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np

from modeldiff_core.errors import DamagedObject
from modeldiff_core.evaluation.counterfactual import agreement
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.counterfactual.check import CounterfactualCheck
from modeldiff_core.experiments.counterfactual.removals import read_removal
from modeldiff_core.plan import Bundle, Cost, Label, Step
from modeldiff_core.report.counterfactual import RemovalFacts, render_counterfactual
from modeldiff_core.store import ObjectStore, read_record, write_record
from modeldiff_core.study import StudyConfig
from modeldiff_core.study.counterfactual import CounterfactualConfig

FIGURE = "scatter.png"


@dataclass(frozen=True)
class VerdictSpec:
    """The check of a study, and what was asked of it."""

    study: StudyConfig
    asked: CounterfactualConfig


def verdict_step(check: CounterfactualCheck, label: Label) -> Step:
    """Return the step that judges all removals."""
    others = tuple(f"{check.record.key}/{name}" for name in ("index.html", FIGURE, "scatter.svg"))
    needs = tuple(removal.reference for which in (0, 1) for removal in check.removals(which))
    spec = VerdictSpec(check.comparison.study, check.settings)
    name = f"counterfactual check of {check.comparison.study.name}"
    return Step(name, Bundle(check.record, others), judge, spec, needs, label, Cost(2.0), check=check_files)


def check_files(store: ObjectStore, spec: VerdictSpec) -> None:
    """Raise DamagedObject if the page or a figure is not what was written; older records hold no checksums."""
    check = CounterfactualCheck(Comparison.of(spec.study), spec.asked)
    for name, expected in read_record(store, check.record.record).get("sha256", {}).items():
        key = f"{check.record.key}/{name}"
        if hashlib.sha256(store.read(key)).hexdigest() != expected:
            raise DamagedObject(f"{store.url(key)}: does not match its checksum", keys=(key,))


def judge(store: ObjectStore, spec: VerdictSpec) -> None:
    """Write the page, its figures and, last, the record of the verdict."""
    judge_check(store, CounterfactualCheck(Comparison.of(spec.study), spec.asked))


def judge_check(store: ObjectStore, check: CounterfactualCheck) -> None:
    """Write the page, its figures and the record of a check that is resolved."""
    study, algorithms, facts = check.comparison.study, {}, []
    for which, config in enumerate((study.algorithm_a, study.algorithm_b)):
        removals = check.removals(which)
        read = [read_removal(store, removal) for removal in removals]
        valid = np.all([arrays["valid"] for arrays in read], axis=0)
        predicted, actual = (np.stack([a[name][valid] for a in read], axis=1) for name in ("predicted", "actual"))
        found = agreement(predicted, actual)
        facts.append(RemovalFacts(config.name, predicted, actual, found))
        algorithms["ab"[which]] = {
            "name": config.name,
            "training": check.comparison.trainings[which].prefix,
            **asdict(found),
            "models": int(valid.sum()),
            "changes": [
                {
                    "target": removal.target,
                    "removed": arrays["removed"].tolist(),
                    "predicted": float(predicted[:, i].mean()),
                    "actual": float(actual[:, i].mean()),
                }
                for i, (removal, arrays) in enumerate(zip(removals, read, strict=True))
            ],
        }
    files = render_counterfactual(study.name, check.settings.top_k, study.subsets.fraction, check.targets(), facts)
    for name, content in files.items():
        store.write(f"{check.record.key}/{name}", content)
    record = {
        "digest": check.record.digest,
        "study": study.name,
        "settings": check.settings.model_dump(mode="json"),
        "fraction": study.subsets.fraction,
        "algorithms": algorithms,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    write_record(store, check.record.record, record)
