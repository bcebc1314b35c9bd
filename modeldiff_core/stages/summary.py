"""Stage: everything a comparison found, as one record of stable keys and one table of effects."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison import extremes, p_values
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.directions import NULL_BLOCK, SIDES
from modeldiff_core.stages.effects import read_changes
from modeldiff_core.stages.references import open_store
from modeldiff_core.stages.regress import seconds_taken
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.score import score_reference
from modeldiff_core.store import ObjectStore, TensorObject, read_record, read_tensors, write_record
from modeldiff_core.study import parse_study
from modeldiff_core.study.config import ComparisonConfig, RegressionConfig
from modeldiff_core.transformations import difference_test, holm, is_distinguishing, two_way_interval


@dataclass(frozen=True)
class EstimatorScores:
    """A's and B's scores of one kind of estimator, and the seconds that they took (None where nobody measured)."""

    kind: str
    scores: tuple[dict[str, Any], dict[str, Any]]
    seconds: tuple[float | None, float | None]


@dataclass(frozen=True)
class Findings:
    """What was computed, read back from the store: the directions' arrays, the pooled null, scores and effect rows.

    scores: A's and B's, of the estimator that the comparison uses. estimators: that one and those beside it; empty
    where it is alone.
    """

    directions: TensorObject
    null: Float[np.ndarray, " draws"]
    scores: tuple[dict[str, Any], dict[str, Any]]
    effects: tuple[dict[str, Any], ...]
    estimators: tuple[EstimatorScores, ...] = ()

    def side(self, side: str, name: str) -> np.ndarray:
        """One array of a side's directions."""
        return self.directions.arrays[f"{side}.{name}"]


def read_findings(store: ObjectStore, comparison: Comparison) -> Findings:
    """Read every result that the comparison refers to, checked."""
    pair, study = comparison.pair, comparison.study
    directions = read_tensors(store, pair.directions.record, {"directions": pair.directions.digest})
    draws = [
        read_tensors(store, pair.null_block(i).record, {"null": pair.null_block(i).digest}).arrays["differences"]
        for i in comparison.null_blocks
    ]
    kept = np.concatenate(draws)[: comparison.permutations] if draws else np.empty((0, 2, 0), np.float32)
    found = {
        name: read_record(store, score_reference(*both, study.ensemble.models).record)
        for name, both in comparison.scored().items()
    }
    own = study.regression.estimator
    return Findings(
        directions, kept.ravel(), (found["a", own], found["b", own]), tuple(effect_rows(store, comparison)),
        estimator_scores(store, study.regression, {name: fit for name, (_, fit) in comparison.scored().items()}, found),
    )  # fmt: skip


def estimator_scores(
    store: ObjectStore,
    config: RegressionConfig,
    fits: Mapping[tuple[str, str], Regression],
    scores: Mapping[tuple[str, str], dict[str, Any]],
) -> tuple[EstimatorScores, ...]:
    """The estimators side by side, none where the comparison's own is alone; fits, scores: by (a or b, kind)."""
    kinds = (config.estimator, *config.also) if config.also else ()
    return tuple(
        EstimatorScores(
            kind,
            (scores["a", kind], scores["b", kind]),
            (seconds_taken(store, fits["a", kind]), seconds_taken(store, fits["b", kind])),
        )
        for kind in kinds
    )


def effect_rows(store: ObjectStore, comparison: Comparison) -> list[dict[str, Any]]:
    """A row a transformation and intensity; p is adjusted over all transformations at their full intensity."""
    settings = comparison.study.effects
    rows: list[dict[str, Any]] = []
    last: list[dict[str, Any]] = []
    for of_a, of_b in comparison.effects():
        changes = read_changes(store, of_a), read_changes(store, of_b)
        for i, intensity in enumerate(of_a.test.intensities):
            a, b = (two_way_interval(change[i], level=settings.level) for change in changes)
            difference = difference_test(changes[0][i], changes[1][i], level=settings.level)
            rows.append(
                {
                    "name": of_a.test.name, "class": of_a.test.target_class, "intensity": float(intensity),
                    "effect_a": a.mean, "low_a": a.low, "high_a": a.high,
                    "effect_b": b.mean, "low_b": b.low, "high_b": b.high,
                    "difference": difference.mean, "low": difference.low, "high": difference.high, "p": difference.p,
                    "images": changes[0].shape[2], "p_adjusted": None, "distinguishing": False,
                }
            )  # fmt: skip
        last.append(rows[-1])
    if last:
        for row, adjusted in zip(last, holm(np.array([row["p"] for row in last])), strict=True):
            row["p_adjusted"] = float(adjusted)
            row["distinguishing"] = is_distinguishing(
                row["effect_a"], row["effect_b"], float(adjusted),
                delta=settings.delta, epsilon=settings.epsilon, alpha=settings.alpha,
            )  # fmt: skip
    return rows


def direction_entries(settings: ComparisonConfig, findings: Findings) -> list[dict[str, Any]]:
    """The ``directions`` of summary.json, A−B first, each side by decreasing in-sample variance.

    A direction is significant if its p, adjusted over the directions of both sides (Holm), is small enough.
    """
    entries = []
    for side in SIDES:
        variance = {name: findings.side(side, f"variance_{name}") for name in ("a", "b")}
        first, second = side.split("-")
        p = p_values(variance[first] - variance[second], findings.null)
        for i in range(settings.components):
            top, bottom = extremes(findings.side(side, "projections")[:, i], settings.top)
            train, _ = extremes(findings.side(side, "directions")[i], settings.top)
            entries.append(
                {
                    "side": side,
                    "index": i,
                    "explained_variance": {name: float(variance[name][i]) for name in ("a", "b")},
                    "explained_variance_in_sample": {
                        name: float(findings.side(side, f"in_sample_{name}")[i]) for name in ("a", "b")
                    },
                    "null_p": float(p[i]),
                    "stability": float(findings.side(side, "stability")[i]),
                    "top_targets": top.tolist(),
                    "bottom_targets": bottom.tolist(),
                    "top_train": train.tolist(),
                }
            )
    for entry, adjusted in zip(entries, holm(np.array([entry["null_p"] for entry in entries])), strict=True):
        entry["p_adjusted"] = float(adjusted)
        entry["significant"] = bool(adjusted <= settings.significance)
    return entries


def transformation_entries(findings: Findings) -> list[dict[str, Any]]:
    """The ``transformations`` of summary.json: each at its full intensity."""
    return [
        {
            "name": row["name"],
            "class": row["class"],
            "intensity": row["intensity"],
            "effect": {"a": row["effect_a"], "b": row["effect_b"]},
            "ci": {"a": [row["low_a"], row["high_a"]], "b": [row["low_b"], row["high_b"]]},
            "difference": row["difference"],
            "difference_ci": [row["low"], row["high"]],
            "p_adjusted": row["p_adjusted"],
            "distinguishing": row["distinguishing"],
        }
        for row in findings.effects
        if row["p_adjusted"] is not None
    ]


def estimator_entries(findings: Findings) -> dict[str, Any]:
    """The ``estimators`` of summary.json, the comparison's own first: scores and seconds; nothing where it is alone."""
    entries = [
        {
            "name": one.kind,
            **{name: {**one.scores[i]["lds"], "seconds": one.seconds[i]} for i, name in enumerate(("a", "b"))},
        }
        for one in findings.estimators
    ]
    return {"estimators": entries} if entries else {}


def sentences(
    comparison: Comparison, findings: Findings, directions: list[dict[str, Any]], effects: list[dict[str, Any]]
) -> list[str]:
    """What was found, in three lines: directions, transformations, and how far both can be relied on."""
    a, b = comparison.study.algorithm_a.name, comparison.study.algorithm_b.name
    return [
        about_directions(comparison.study.comparison, directions, a, b, comparison.permutations),
        _about_transformations(comparison, effects, a, b),
        about_datamodels(findings, a, b),
    ]


def about_datamodels(findings: Findings, a: str, b: str) -> str:
    """How well the datamodels predict, and how accurate the models are."""
    named = zip(findings.scores, (a, b), strict=True)
    return (
        "Datamodels predict models that they never saw with rank correlation "
        + " and ".join(f"{s['lds']['mean']:.2f} ({s['models']:,} models of {n})" for s, n in named)
        + "; accuracy "
        + " and ".join(f"{100 * s['subset_accuracy']:.1f} %" for s in findings.scores)
        + "."
    )


def about_directions(
    settings: ComparisonConfig, directions: list[dict[str, Any]], a: str, b: str, permutations: int
) -> str:
    """How many directions tell the algorithms apart. permutations: those that were made of those asked for."""
    counts = {side: sum(d["significant"] for d in directions if d["side"] == side) for side in SIDES}
    if not settings.permutations:
        return "Directions were not tested against chance (comparison.permutations=0)."
    if not permutations:
        return (
            "Directions were not tested against chance: no margins enter this estimator that could be exchanged "
            "between the algorithms."
        )
    if not any(counts.values()):
        return (
            f"No training direction tells {a} and {b} apart beyond chance ({settings.components} tried on each side)."
        )
    return (
        f"{counts['a-b']} of {settings.components} directions matter more to {a} than to {b}, {counts['b-a']} of "
        f"{settings.components} more to {b} (adjusted p ≤ {settings.significance:g})."
    )


def _about_transformations(comparison: Comparison, effects: list[dict[str, Any]], a: str, b: str) -> str:
    if not effects:
        return "No transformation was tried."
    found = sorted((e for e in effects if e["distinguishing"]), key=lambda e: -abs(e["difference"]))
    if not found:
        return f"None of the {len(effects)} transformations tried is distinguishing."
    best, classes = found[0], load_classes(comparison)
    of = "own class" if best["class"] is None else f"class {classes[best['class']]}"
    points = [f"{100 * best['effect'][name]:+.1f}" for name in ("a", "b")]
    return (
        f"{len(found)} of {len(effects)} transformations tried {'is' if len(found) == 1 else 'are'} distinguishing: "
        f"{best['name']} changes P({of}) by {points[0]} points for {a} and by {points[1]} for {b}."
    )


def load_classes(comparison: Comparison) -> tuple[str, ...]:
    """Names of the classes."""
    return comparison.trainings[0].load().classes


def build_summary(comparison: Comparison, findings: Findings) -> dict[str, Any]:
    """The content of summary.json."""
    directions = direction_entries(comparison.study.comparison, findings)
    effects = transformation_entries(findings)
    a, b = findings.scores
    return {
        "study": comparison.study.name,
        "digest": comparison.digest,
        "algorithms": {
            name: {
                "name": config.name, "kind": config.kind, "training": training.prefix,
                **{key: scores[key] for key in ("models", "diverged", "subset_accuracy", "ensemble_accuracy")},
                "ensemble_models": comparison.study.ensemble.models,
            }
            for name, config, training, scores in (
                ("a", comparison.study.algorithm_a, comparison.trainings[0], a),
                ("b", comparison.study.algorithm_b, comparison.trainings[1], b),
            )
        },
        "lds": {"a": a["lds"], "b": b["lds"]},
        **estimator_entries(findings),
        "similarity": float(findings.directions.arrays["similarity"].mean()),
        "directions": directions,
        "transformations": effects,
        "findings": sentences(comparison, findings, directions, effects),
    }  # fmt: skip


def write_summary(store: dict[str, Any], study: dict[str, Any]) -> dict[str, Any]:
    """Write study.json, effects.parquet and, last, summary.json."""
    objects, comparison = open_store(store), Comparison.of(parse_study(study))
    findings = read_findings(objects, comparison)
    summary = build_summary(comparison, findings)
    pair = comparison.pair
    write_record(
        objects,
        f"{comparison.folder}/study.json",
        {
            "study": comparison.study.model_dump(mode="json"),
            "digest": comparison.digest,
            "trainings": {"a": comparison.trainings[0].prefix, "b": comparison.trainings[1].prefix},
            "datamodels": {name: [r.reference.key for r in fits] for name, fits in (("a", pair.a), ("b", pair.b))},
            **_others(comparison),
            "directions": pair.directions.key,
            "null": sorted({pair.null_block(i).key for i in comparison.null_blocks}),
            "null_block": NULL_BLOCK,
            "effects": {a.test.name: {"a": a.reference.key, "b": b.reference.key} for a, b in comparison.effects()},
        },
    )
    objects.write(f"{comparison.folder}/effects.parquet", effects_table(findings))
    write_record(objects, comparison.summary.record, summary)
    return comparison.summary.to_json()


def effects_table(findings: Findings) -> bytes:
    """The content of effects.parquet: a row for each transformation and intensity."""
    import pandas as pd

    table = io.BytesIO()
    pd.DataFrame(list(findings.effects)).to_parquet(table, index=False)
    return table.getvalue()


def _others(comparison: Comparison) -> dict[str, Any]:
    """Where the datamodels of the estimators beside the comparison's own stand, if there are any."""
    also = comparison.study.regression.also
    found = {kind: {n: comparison.scored()[n, kind][1].reference.key for n in ("a", "b")} for kind in also}
    return {"other_datamodels": found} if found else {}
