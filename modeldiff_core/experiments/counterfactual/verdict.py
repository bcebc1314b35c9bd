"""The verdict of a counterfactual check: predicted and actual changes of every target, their correlation, a page."""

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np

from modeldiff_core.evaluation.counterfactual import agreement
from modeldiff_core.experiments.counterfactual.check import CounterfactualCheck
from modeldiff_core.experiments.counterfactual.removals import read_removal
from modeldiff_core.report.counterfactual import RemovalFacts, render_counterfactual
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import load_dataset

FIGURE = "scatter.png"
CHECKSUMS = "sha256"
"""The entry of the verdict with the checksums of the page and its figures; older verdicts have none."""


def judge(store: ObjectStore, check: CounterfactualCheck) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the record of the verdict, and the contents of the figures and the page by name, the page last."""
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
    inventory = load_dataset(study.dataset).inventory
    fraction, targets = study.subsets.fraction, check.targets()
    files = render_counterfactual(study.name, check.settings.top_k, fraction, targets, facts, inventory)
    record = {
        "digest": check.record.digest,
        "study": study.name,
        "settings": check.settings.model_dump(mode="json"),
        "fraction": fraction,
        "algorithms": algorithms,
        CHECKSUMS: {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    return record, files
