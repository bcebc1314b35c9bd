"""Stage: everything a comparison found, as one record of stable keys and one table of effects."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison import NEAR, extremes, models_needed, p_values
from modeldiff_core.identity import canonical_json, plain
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.directions import NULL_BLOCK, SIDES
from modeldiff_core.stages.effects import read_changes
from modeldiff_core.stages.enrichment import PARTS, SIGNS, Description, EndDescription, read_description
from modeldiff_core.stages.references import open_store
from modeldiff_core.stages.regress import seconds_taken
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.score import score_reference
from modeldiff_core.stages.search import Search, read_finalists, searches
from modeldiff_core.store import ObjectStore, TensorObject, read_record, read_tensors, write_record
from modeldiff_core.study import parse_study
from modeldiff_core.study.config import ComparisonConfig, RegressionConfig
from modeldiff_core.transformations import Judged, Measured, holm, judge, read


@dataclass(frozen=True)
class EstimatorScores:
    """A's and B's scores of one kind of estimator, and the seconds that they took (None where nobody measured)."""

    kind: str
    scores: tuple[dict[str, Any], dict[str, Any]]
    seconds: tuple[float | None, float | None]


@dataclass(frozen=True)
class Findings:
    """What was computed, read back from the store: the directions' arrays, the pooled null, scores and effects.

    scores: A's and B's, of the estimator that the comparison uses. estimators: that one and those beside it; empty
    where it is alone. found: what the search put to the test, with the searches that proposed it. descriptions: what
    the ends of significant directions share.
    """

    directions: TensorObject
    null: Float[np.ndarray, " draws"]
    scores: tuple[dict[str, Any], dict[str, Any]]
    effects: tuple[Judged, ...] = ()
    estimators: tuple[EstimatorScores, ...] = ()
    found: tuple[tuple[tuple[Search, ...], Judged], ...] = ()
    descriptions: tuple[tuple[Description, dict[str, dict[str, EndDescription]]], ...] = ()

    def side(self, side: str, name: str) -> np.ndarray:
        """One array of a side's directions."""
        return self.directions.arrays[f"{side}.{name}"]


def read_findings(store: ObjectStore, comparison: Comparison) -> Findings:
    """Read every result that the comparison refers to, checked."""
    study, estimator = comparison.study, comparison.study.regression.estimator
    scores = {
        name: read_record(store, score_reference(*both, study.ensemble.models).record)
        for name, both in comparison.scored().items()
    }
    fits = {name: fit for name, (_, fit) in comparison.scored().items()}
    own, entries = _measured(store, comparison), significant_entries(store, comparison)
    put, along = _put_to_the_test(store, searches(study, comparison.trainings, comparison.pair, entries))
    judged = judge([*own, *put], study.effects)
    return Findings(
        *read_directions(store, comparison),
        (scores["a", estimator], scores["b", estimator]),
        judged[: len(own)],
        estimator_scores(store, study.regression, fits, scores),
        tuple(zip(along, judged[len(own) :], strict=True)),
        tuple((spec, read_description(store, spec)) for spec in descriptions(comparison, entries)),
    )


def _put_to_the_test(store: ObjectStore, along: Sequence[Search]) -> tuple[list[Measured], list[tuple[Search, ...]]]:
    """What was put to the test, each once, and the searches that proposed it: directions may propose the same."""
    found: dict[str, tuple[Measured, tuple[Search, ...]]] = {}
    for search in along:
        for measured in read_finalists(store, search):
            test = measured.test
            key = canonical_json([test.kind, test.target_class, plain(test.parameters)])
            first, others = found.get(key, (measured, ()))
            found[key] = first, (*others, search)
    return [measured for measured, _ in found.values()], [searches for _, searches in found.values()]


def read_directions(store: ObjectStore, comparison: Comparison) -> tuple[TensorObject, Float[np.ndarray, " draws"]]:
    """The directions' arrays, and the pooled null."""
    pair = comparison.pair
    directions = read_tensors(store, pair.directions.record, {"directions": pair.directions.digest})
    draws = [
        read_tensors(store, pair.null_block(i).record, {"null": pair.null_block(i).digest}).arrays["differences"]
        for i in comparison.null_blocks
    ]
    kept = np.concatenate(draws)[: comparison.permutations] if draws else np.empty((0, 2, 0), np.float32)
    return directions, kept.ravel()


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


def significant_entries(store: ObjectStore, comparison: Comparison) -> list[dict[str, Any]]:
    """The significant ones of the ``directions`` of summary.json."""
    found = Findings(*read_directions(store, comparison), ({}, {}))
    return [entry for entry in direction_entries(comparison.study.comparison, found) if entry["significant"]]


def descriptions(comparison: Comparison, entries: Sequence[Mapping[str, Any]]) -> list[Description]:
    """The significant directions whose ends are described."""
    share = comparison.study.search.share
    return [
        Description(comparison.pair, comparison.trainings[0], entry["side"], entry["index"], share)
        for entry in entries
        if entry["significant"]
    ]


def _measured(store: ObjectStore, comparison: Comparison) -> list[Measured]:
    """The study's own transformations as A's and B's full-data models see them."""
    level = comparison.study.effects.level
    return [
        read(of_a.test, read_changes(store, of_a), read_changes(store, of_b), level)
        for of_a, of_b in comparison.effects()
    ]


def effect_rows(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """A row a transformation and intensity; p is adjusted over everything tested at full intensity."""
    rows: list[dict[str, Any]] = []
    for one in judged:
        measured, last = one.measured, len(one.measured.test.intensities) - 1
        for i, intensity in enumerate(measured.test.intensities):
            p, m = measured.probability, measured.margin
            rows.append(
                {
                    "name": measured.test.name, "class": measured.test.target_class, "intensity": float(intensity),
                    "effect_a": p.a[i].mean, "low_a": p.a[i].low, "high_a": p.a[i].high,
                    "effect_b": p.b[i].mean, "low_b": p.b[i].low, "high_b": p.b[i].high,
                    "difference": p.difference[i].mean, "low": p.difference[i].low, "high": p.difference[i].high,
                    "p": p.difference[i].p, "images": measured.images,
                    "p_adjusted": one.p_probability if i == last else None,
                    "distinguishing": one.distinguishing and i == last,
                    "margin_a": m.a[i].mean, "margin_low_a": m.a[i].low, "margin_high_a": m.a[i].high,
                    "margin_b": m.b[i].mean, "margin_low_b": m.b[i].low, "margin_high_b": m.b[i].high,
                    "margin_difference": m.difference[i].mean, "margin_low": m.difference[i].low,
                    "margin_high": m.difference[i].high, "margin_p": m.difference[i].p,
                    "margin_p_adjusted": one.p_margin if i == last else None,
                }
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
                    "overlap": float(findings.side(side, "overlap")[i]),
                    "top_targets": top.tolist(),
                    "bottom_targets": bottom.tolist(),
                    "top_train": train.tolist(),
                }
            )
    for entry, adjusted in zip(entries, holm(np.array([entry["null_p"] for entry in entries])), strict=True):
        entry["p_adjusted"] = float(adjusted)
        entry["significant"] = bool(adjusted <= settings.significance)
    return entries


def entries_with_power(settings: ComparisonConfig, findings: Findings) -> list[dict[str, Any]]:
    """The same with ``models_needed``: for directions that just miss, models with which theirs would stand out."""
    entries = direction_entries(settings, findings)
    models = min(scores["models"] for scores in findings.scores)
    for entry in entries:
        entry["models_needed"] = None
        if not entry["significant"] and entry["null_p"] <= NEAR:
            first, second = entry["side"].split("-")
            difference = entry["explained_variance"][first] - entry["explained_variance"][second]
            needed = models_needed(difference, findings.null, models, len(entries), settings.significance)
            entry["models_needed"] = needed
    return entries


def transformation_entries(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """The ``transformations`` of summary.json: each at its full intensity, with its dose-response."""
    return [_transformation_entry(one) for one in judged]


def _transformation_entry(one: Judged) -> dict[str, Any]:
    rows = effect_rows([one])
    full = rows[-1]
    return {
        "name": full["name"],
        "class": full["class"],
        "intensity": full["intensity"],
        **_output_entry(full, "effect", ""),
        "p_adjusted": full["p_adjusted"],
        "distinguishing": full["distinguishing"],
        "margin": {**_output_entry(full, "margin", "margin_"), "p_adjusted": full["margin_p_adjusted"]},
        "images": full["images"],
        "dose_response": [
            {
                "intensity": row["intensity"],
                **_output_entry(row, "effect", ""),
                "margin": _output_entry(row, "margin", "margin_"),
            }
            for row in rows
        ],
    }


def _output_entry(row: dict[str, Any], effect: str, prefix: str) -> dict[str, Any]:
    """A's and B's effect on one output with their intervals, and their difference with its."""
    return {
        "effect": {name: row[f"{effect}_{name}"] for name in ("a", "b")},
        "ci": {name: [row[f"{prefix}low_{name}"], row[f"{prefix}high_{name}"]] for name in ("a", "b")},
        "difference": row[f"{prefix}difference"],
        "difference_ci": [row[f"{prefix}low"], row[f"{prefix}high"]],
    }


def found_entries(findings: Findings) -> list[dict[str, Any]]:
    """The ``found`` of summary.json: what the search put to the test, along which directions, and how to ask for it.

    ``distinguishing`` says that it was confirmed. kind, parameters: what to write under ``transformations``.
    """
    return [
        {
            "along": [{"side": search.side, "index": search.index} for search in along],
            "kind": one.measured.test.kind,
            "parameters": plain(one.measured.test.parameters),
            **_transformation_entry(one),
        }
        for along, one in findings.found
    ]


def estimator_entries(findings: Findings) -> dict[str, Any]:
    """The ``estimators`` of summary.json, the comparison's own first: scores and seconds; nothing where it is alone."""
    entries = [
        {
            "name": one.kind,
            **{name: {**lds_entry(one.scores[i]), "seconds": one.seconds[i]} for i, name in enumerate(("a", "b"))},
        }
        for one in findings.estimators
    ]
    return {"estimators": entries} if entries else {}


def sentences(
    comparison: Comparison,
    findings: Findings,
    directions: list[dict[str, Any]],
    effects: list[dict[str, Any]],
    found: list[dict[str, Any]],
) -> list[str]:
    """What was found, a line each: directions, transformations, the search, and how far they can be relied on."""
    a, b = comparison.study.algorithm_a.name, comparison.study.algorithm_b.name
    return [
        about_directions(comparison.study.comparison, directions, a, b, comparison.permutations),
        _about_transformations(comparison, effects, a, b),
        *about_search(comparison, found, a, b),
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


def lds_entry(score: dict[str, Any]) -> dict[str, float]:
    """The linear datamodeling score of summary.json."""
    return {name: score["lds"][name] for name in ("mean", "ci_low", "ci_high")}


def about_search(comparison: Comparison, found: list[dict[str, Any]], a: str, b: str) -> list[str]:
    """What the search confirmed; nothing is said if it was left out, or had no significant direction to go along."""
    if not found:
        return []
    confirmed = sorted((e for e in found if e["distinguishing"]), key=lambda e: -abs(e["difference"]))
    along = len({(d["side"], d["index"]) for e in found for d in e["along"]})
    where = f"along {along} direction{'' if along == 1 else 's'}"
    if not confirmed:
        return [
            f"The search {where} put {len(found)} transformations to the test on images and models that had not chosen "
            "them, and confirmed none."
        ]
    best, classes = confirmed[0], load_classes(comparison)
    of = "own class" if best["class"] is None else f"class {classes[best['class']]}"
    points = [f"{100 * best['effect'][name]:+.1f}" for name in ("a", "b")]
    return [
        f"The search {where} confirmed {len(confirmed)} of the {len(found)} transformations that it put to the test on "
        f"images and models that had not chosen them: {best['name']} changes P({of}) by {points[0]} points for {a} and "
        f"by {points[1]} for {b}."
    ]


def subpopulation_entry(findings: Findings, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the ends of one direction share, by sign and part; empty for directions that are not described."""
    for spec, ends in findings.descriptions:
        if (spec.side, spec.index) == (entry["side"], entry["index"]):
            return {sign: {part: ends[part][sign].facts for part in PARTS} for sign in SIGNS}
    return {}


def load_classes(comparison: Comparison) -> tuple[str, ...]:
    """Names of the classes."""
    return comparison.trainings[0].load().classes


def build_summary(comparison: Comparison, findings: Findings) -> dict[str, Any]:
    """The content of summary.json."""
    directions = entries_with_power(comparison.study.comparison, findings)
    for entry in directions:
        entry["subpopulations"] = subpopulation_entry(findings, entry)
    effects, found = transformation_entries(findings.effects), found_entries(findings)
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
        "lds": {"a": lds_entry(a), "b": lds_entry(b)},
        **estimator_entries(findings),
        "similarity": float(findings.directions.arrays["similarity"].mean()),
        "excluded_targets": np.flatnonzero(findings.directions.arrays["excluded"]).tolist(),
        "directions": directions,
        "transformations": effects,
        "found": found,
        "findings": sentences(comparison, findings, directions, effects, found),
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
    pd.DataFrame(effect_rows(findings.effects)).to_parquet(table, index=False)
    return table.getvalue()


def _others(comparison: Comparison) -> dict[str, Any]:
    """Where the datamodels of the estimators beside the comparison's own stand, if there are any."""
    also = comparison.study.regression.also
    found = {kind: {n: comparison.scored()[n, kind][1].reference.key for n in ("a", "b")} for kind in also}
    return {"other_datamodels": found} if found else {}
