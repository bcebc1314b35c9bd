"""What a comparison of checkpoints found, as plain values, and as words for any screen."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from modeldiff_core.comparison.training_directions import SIDES
from modeldiff_core.comparison.trainings import LEAST_TESTED
from modeldiff_core.experiments.checkpoints.compared import (
    OF_EACH,
    Compared,
    failed,
    read_checkpoint_directions,
)
from modeldiff_core.experiments.checkpoints.settings import CheckpointsStudy, EstimatorConfig
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.experiments.preview.found import direction_row
from modeldiff_core.store import ObjectStore

LEAST_REPEATED = 0.2
"""Share of the attributions that checkpoints have in common below which a finding warns that they are mostly noise."""
WORDS = {
    "ekfac": "influence with an eigenvalue-corrected Kronecker curvature (EK-FAC)",
    "trak": "TRAK with one checkpoint each, by the package traker",
}


def find(store: ObjectStore, pair: Compared, study: CheckpointsStudy) -> dict[str, Any]:
    """Return the summary from the stored results."""
    arrays, facts = read_checkpoint_directions(store, pair)
    sides = {"a": pair.a, "b": pair.b}
    entries = []
    counts = dict.fromkeys(SIDES, 0)
    for at, number in enumerate(facts["sides"]):
        told = {name: _number(arrays[name][at]) for name in OF_EACH}
        p, side = told["p"], SIDES[number]
        targets, train = np.argsort(arrays["projections"][:, at]), np.argsort(arrays["directions"][at])
        entries.append(
            {
                "side": side,
                "index": counts[side],
                "p": p,
                "significant": p is not None and p <= study.significance,
                "strength": told["strength"],
                "explained_variance": {"a": told["variance_a"], "b": told["variance_b"]},
                "stability": told["stability"],
                "overlap": told["overlap"],
                "top_targets": targets[::-1][: study.top].tolist(),
                "bottom_targets": targets[: study.top].tolist(),
                "top_train": train[::-1][: study.top].tolist(),
                "bottom_train": train[: study.top].tolist(),
            }
        )
        counts[side] += 1
    accuracies = {side: [one.accuracies(store) for one in own if not failed(store, one)] for side, own in sides.items()}
    tested = len(arrays["null"]) > 0
    found = any(entry["significant"] for entry in entries)
    return {
        "algorithms": {"a": study.a.name, "b": study.b.name},
        "estimator": study.estimator.model_dump(mode="json"),
        "checkpoints": len(pair.a),
        "left_out": len(pair.a) - facts["pairs"],
        "targets": pair.a[0].targets,
        "train": pair.a[0].train,
        "tested": tested,
        "patterns": len(arrays["null"]),
        "accuracy": {
            side: {
                name: [min(values), max(values)]
                for name, values in zip(("train", "targets"), zip(*own, strict=True), strict=True)
            }
            for side, own in accuracies.items()
        },
        "captured": facts["captured"],
        "repeatability": dict(zip("ab", facts["repeatability"], strict=True)),
        "similarity": float(np.mean(arrays["similarity"])),
        "significance": study.significance,
        "verdict": {"answer": "different" if found else "undecided"},
        "directions": entries,
    }


def present(name: str, summary: Mapping[str, Any], parameters: tuple[tuple[int, int], ...], images: int) -> Shown:
    """Return the findings.

    Args:
        name: Of the study.
        summary: What was found.
        parameters: How many take part in attributions, and all, of each network.
        images: Test images that there are.

    """
    names, many = summary["algorithms"], summary["checkpoints"] - summary["left_out"]
    said = [_tested(summary, many), _estimated(summary, parameters)]
    if summary["left_out"]:
        said.append(f"{summary['left_out']} of {summary['checkpoints']} pairs were left out: gradients are not finite.")
    if summary["targets"] < images:
        said.append(f"The first {summary['targets']:,} of {images:,} test images are explained (targets).")
    for side in ("a", "b"):
        (low, high), own = summary["accuracy"][side]["targets"], summary["repeatability"][side]
        line = f"{names[side]}: {low:.1%} to {high:.1%} of the test images are right"
        if own is not None:
            line += f"; its checkpoints have {max(own, 0):.0%} of their squared attributions in common"
            if own < LEAST_REPEATED:
                line += ": they are mostly noise, which more checkpoints average out"
        said.append(f"{line}.")
    rows = [
        direction_row(entry, names, entry["explained_variance"], "cannot be tested") for entry in summary["directions"]
    ]
    described = (
        "A direction's side is the algorithm whose attributions vary more along it. Variance: sum over targets of the "
        "squared attribution along the direction, as a share of all in the basis. Stability: |cosine| of the versions "
        "from the even and the odd checkpoints."
    )
    return Shown(
        f"{names['a']} and {names['b']}, by checkpoints ({name})", tuple(said), (Table("Directions", rows, described),)
    )


def _tested(summary: Mapping[str, Any], many: int) -> str:
    entries, limit = summary["directions"], summary["significance"]
    counted = f"{many} checkpoint{'' if many == 1 else 's'} of each"
    if not summary["tested"]:
        return (
            f"Cannot be tested: with {counted}, whether a direction is more than noise cannot be told; there is a p "
            f"from {LEAST_TESTED} of each on."
        )
    real = sum(entry["significant"] for entry in entries)
    least = "; ".join(f"the smallest p is {min(entry['p'] for entry in entries):.3f}" for _ in entries[:1])
    return (
        f"{real} of {len(entries)} directions have p of {limit:g} or less ({least}), adjusted over all directions, "
        f"with whole checkpoints as replicates: {counted}, {summary['patterns']:,} patterns of exchanges."
    )


def _estimated(summary: Mapping[str, Any], parameters: tuple[tuple[int, int], ...]) -> str:
    estimator = EstimatorConfig.model_validate(summary["estimator"])
    line = f"Estimator: {WORDS[estimator.kind]}"
    if estimator.kind == "ekfac":
        counted = " and ".join(f"{own:,} of {every:,}" for own, every in parameters)
        line += f", damping {estimator.damping:g}, on {counted} parameters"
    return (
        f"{line}; {summary['targets']:,} targets, {summary['train']:,} training examples; the basis holds "
        f"{summary['captured']:.0%} of what all checkpoints have together. Nothing was trained."
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
