"""The summary of a comparison of adopted results."""

import csv
import io
from typing import Any

import numpy as np

from modeldiff_core.experiments.adopted.comparison import AdoptedComparison
from modeldiff_core.experiments.adopted.findings import entries_of, read_adopted_findings
from modeldiff_core.experiments.compare.contrast_sentences import contrast_sentences
from modeldiff_core.experiments.compare.sentences import about_datamodels, about_directions
from modeldiff_core.experiments.compare.summary import (
    contrast_summary,
    estimator_entries,
    lds_entry,
    subpopulation_entry,
)
from modeldiff_core.store import ObjectStore
from modeldiff_core.study.config import VerdictConfig

TABLE = "directions.csv"
"""Name of the table of directions."""


def build_adopted_summary(store: ObjectStore, comparison: AdoptedComparison) -> dict[str, Any]:
    """Return the content of summary.json, from the stored results."""
    study, sides = comparison.study, comparison.sides
    a, b = comparison.a.name, comparison.b.name
    findings = read_adopted_findings(store, comparison)
    entries, directions = entries_of(comparison, findings), findings.directions
    if comparison.known.fingerprint:
        for entry in entries:
            entry["subpopulations"] = subpopulation_entry(findings, entry)
    contrast = contrast_summary(study.comparison, findings, entries, [], VerdictConfig())
    if contrast:
        facts = {**contrast, "directions": entries, "found": []}
        labels, classes = comparison.known.targets.labels, comparison.known.classes
        said = contrast_sentences(facts, comparison.names, labels, classes, comparison.permutations > 0)
        said.append(about_datamodels(findings, a, b))
    elif comparison.a.kind == "margins":
        tested = about_directions(study.comparison, entries, a, b, study.comparison.permutations)
        said = [tested, about_datamodels(findings, a, b)]
    else:
        said = [
            f"Directions between {a} and {b} were not tested against chance: ready attributions do not tell how noisy "
            "they are, and variances on the models that chose a direction show a difference where there is none."
        ]
    no_models = "No transformation was tried: that takes models, and only what they gave was adopted."
    kept = ("models", "diverged", "subset_accuracy")
    return {
        "study": study.name,
        "digest": comparison.digest,
        "algorithms": {
            label: {
                "name": side.name,
                "kind": side.kind,
                "training": side.folder,
                "source": side.reference.key,
                **{key: score.get(key) for key in kept},
                "left_out": score.get("left_out", 0),
            }
            for (label, side), score in zip(sides.items(), findings.scores, strict=True)
        },
        "lds": {n: lds_entry(score) if score else None for n, score in zip(sides, findings.scores, strict=True)},
        **estimator_entries(findings),
        "similarity": float(directions.arrays["similarity"].mean()),
        "excluded_targets": np.flatnonzero(directions.arrays["excluded"]).tolist(),
        "directions": entries,
        **contrast,
        "transformations": [],
        "findings": [said[0], no_models, *said[1:], *findings.noticed],
    }


def adopted_study_record(comparison: AdoptedComparison) -> dict[str, Any]:
    """Return the content of study.json: the study, and the keys of what it is made of."""
    return {
        "study": comparison.study.model_dump(mode="json"),
        "digest": comparison.digest,
        "directions": comparison.directions.key,
        "sources": {label: side.reference.key for label, side in comparison.sides.items()},
    }


def directions_table(entries: list[dict[str, Any]]) -> bytes:
    """Return the content of directions.csv: a line a direction; what was not measured is left empty."""
    text = io.StringIO()
    columns = ("side", "index", "null_p", "p_adjusted", "stability", "significant")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(
        [*columns, "variance_a", "variance_b", "in_sample_a", "in_sample_b", "top_targets", "bottom_targets"]
    )
    for entry in entries:
        variances = [entry[kind][n] for kind in ("explained_variance", "explained_variance_in_sample") for n in "ab"]
        ends = [" ".join(map(str, entry[end])) for end in ("top_targets", "bottom_targets")]
        lines.writerow([*(entry[column] for column in columns), *variances, *ends])
    return text.getvalue().encode()
