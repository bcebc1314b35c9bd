"""Compare the findings of a store's finished comparisons with what was planted: ``python -m benchmarks.truth [STORE]``.

For each comparison it prints scores; each direction's cross-fitted difference of variance, p, stability and, where a
feature was planted, the AUC with which its signed projection separates planted test images from the rest of their class
(either sign); each transformation's effects at full intensity.
"""

import json
import sys

import numpy as np
from sklearn.metrics import roc_auc_score

from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.findings import read_findings
from modeldiff_core.experiments.compare.summary import build_summary
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_core.study import parse_study


def show(store: ObjectStore, study: dict[str, object]) -> None:
    """Print one comparison."""
    comparison = Comparison.of(parse_study(study))
    findings = read_findings(store, comparison)
    summary = build_summary(comparison, findings)
    targets = comparison.trainings[0].task().targets
    print(
        f"\n## {summary['study']} {comparison.digest[:8]}: {len(targets)} targets, null of {len(findings.null)} draws"
    )
    for name, algorithm in summary["algorithms"].items():
        lds = summary["lds"][name]
        print(
            f"{name}: {algorithm['name']}: {algorithm['models']} subset models, "
            f"accuracy {algorithm['subset_accuracy']:.3f}, "
            f"LDS {lds['mean']:.3f} [{lds['ci_low']:.3f}, {lds['ci_high']:.3f}]"
        )
    plant = study["dataset"].get("plant") if isinstance(study["dataset"], dict) else None
    of_class = targets.labels == plant["label"] if plant else None
    for d in summary["directions"]:
        variance = d["explained_variance"]
        line = (
            f"{d['side']} {d['index'] + 1}: difference {variance['a'] - variance['b']:+.4f}, p {d['null_p']:.4f}, "
            f"adjusted {d['p_adjusted']:.3f}, stability {d['stability']:.2f}{'' if d['significant'] else ', chance'}"
        )
        if of_class is not None:
            projection = findings.side(d["side"], "projections")[of_class, d["index"]]
            auc = roc_auc_score(targets.metadata["planted"][of_class], projection)
            line += f", AUC {max(auc, 1 - auc):.3f}"
        print(line)
    for e in summary["transformations"]:
        print(
            f"{e['name']}: A {e['effect']['a']:+.3f} [{e['ci']['a'][0]:+.3f}, {e['ci']['a'][1]:+.3f}], "
            f"B {e['effect']['b']:+.3f} [{e['ci']['b'][0]:+.3f}, {e['ci']['b'][1]:+.3f}], "
            f"adjusted p {e['p_adjusted']:.2g}{', distinguishing' if e['distinguishing'] else ''}"
        )
    print("null: 5 %, 50 %, 95 %:", np.quantile(findings.null, [0.05, 0.5, 0.95]).round(5).tolist())


def main() -> None:
    """Print every comparison of the store."""
    store = ObjectStore(StoreSettings(sys.argv[1] if len(sys.argv) > 1 else "runs"))
    keys = sorted(key for key in store.sizes("comparisons") if key.endswith("/report/study.json"))
    for key in keys:
        show(store, json.loads(store.read(key)))


if __name__ == "__main__":
    main()
