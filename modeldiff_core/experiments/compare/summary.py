"""Everything a comparison found, as one record of stable keys and one table of effects."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modeldiff_core.comparison import extremes
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.contrasts import (
    difference_entries,
    slope_entry,
    total_entry,
    verdict_of,
)
from modeldiff_core.experiments.compare.findings import Findings, entries_with_power
from modeldiff_core.experiments.compare.matrix_free import MatrixFreeComparison, products_entry
from modeldiff_core.experiments.compare.sentences import sentences
from modeldiff_core.experiments.compare.verdicts import verdict_entry as verdict_on_all
from modeldiff_core.identity import plain
from modeldiff_core.stages.contrast import BLOCK, ContrastNull
from modeldiff_core.stages.directions import NULL_BLOCK, Pair
from modeldiff_core.stages.enrichment import PARTS, SIGNS
from modeldiff_core.statistics import participation
from modeldiff_core.study.config import ComparisonConfig, VerdictConfig
from modeldiff_core.transformations import Judged

TABLE = "effects.parquet"
"""Name of the table of effects."""


def effect_rows(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return a row a transformation and intensity; p is adjusted over everything tested at full intensity."""
    rows: list[dict[str, Any]] = []
    for one in judged:
        measured, last = one.measured, len(one.measured.test.intensities) - 1
        for i, intensity in enumerate(measured.test.intensities):
            p, m = measured.probability, measured.margin
            rows.append(
                {
                    "name": measured.test.name,
                    "class": measured.test.target_class,
                    "intensity": float(intensity),
                    "effect_a": p.a[i].mean,
                    "low_a": p.a[i].low,
                    "high_a": p.a[i].high,
                    "effect_b": p.b[i].mean,
                    "low_b": p.b[i].low,
                    "high_b": p.b[i].high,
                    "difference": p.difference[i].mean,
                    "low": p.difference[i].low,
                    "high": p.difference[i].high,
                    "p": p.difference[i].p,
                    "images": measured.images,
                    "p_adjusted": one.p_probability if i == last else None,
                    "distinguishing": one.distinguishing and i == last,
                    "margin_a": m.a[i].mean,
                    "margin_low_a": m.a[i].low,
                    "margin_high_a": m.a[i].high,
                    "margin_b": m.b[i].mean,
                    "margin_low_b": m.b[i].low,
                    "margin_high_b": m.b[i].high,
                    "margin_difference": m.difference[i].mean,
                    "margin_low": m.difference[i].low,
                    "margin_high": m.difference[i].high,
                    "margin_p": m.difference[i].p,
                    "margin_p_adjusted": one.p_margin if i == last else None,
                }
            )
    return rows


def transformation_entries(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return the ``transformations`` of summary.json: each at its full intensity, with its dose-response."""
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
        "verdict": verdict_entry(one),
        "dose_response": [
            {
                "intensity": row["intensity"],
                **_output_entry(row, "effect", ""),
                "margin": _output_entry(row, "margin", "margin_"),
            }
            for row in rows
        ],
    }


def verdict_entry(one: Judged) -> dict[str, Any]:
    """Return the answer, why, what would decide an undecided one, and how A and B react.

    interval: ends of the effect, each wrong with chance alpha, from which the answer is taken. magnitude: mean size of
    an image's change, with its ends. carriers: images that carry the effect (participation number).
    """
    verdict, known = one.verdict, one.measured.reactions
    return {
        "answer": verdict.answer,
        "why": verdict.why,
        "models": verdict.models,
        "images": verdict.images,
        **{
            name: {
                "interval": [of.low, of.high],
                "magnitude": of.magnitude,
                "magnitude_interval": [of.magnitude_low, of.magnitude_high],
                "carriers": of.carriers,
            }
            for name, of in (("a", known.a), ("b", known.b))
        },
    }


def _output_entry(row: dict[str, Any], effect: str, prefix: str) -> dict[str, Any]:
    """Return A's and B's effect on one output and their difference, each with its interval."""
    return {
        "effect": {name: row[f"{effect}_{name}"] for name in ("a", "b")},
        "ci": {name: [row[f"{prefix}low_{name}"], row[f"{prefix}high_{name}"]] for name in ("a", "b")},
        "difference": row[f"{prefix}difference"],
        "difference_ci": [row[f"{prefix}low"], row[f"{prefix}high"]],
    }


def found_entries(findings: Findings) -> list[dict[str, Any]]:
    """Return the ``found`` of summary.json: what the search put to the test, along which directions, and how to ask
    for it.

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
    """Return the ``estimators`` of summary.json, the comparison's own first: scores and seconds; nothing where it is
    alone.
    """
    entries = [
        {
            "name": one.kind,
            **{name: {**lds_entry(one.scores[i]), "seconds": one.seconds[i]} for i, name in enumerate(("a", "b"))},
        }
        for one in findings.estimators
    ]
    return {"estimators": entries} if entries else {}


def lds_entry(score: dict[str, Any]) -> dict[str, float]:
    """Return the linear datamodeling score of summary.json."""
    return {name: score["lds"][name] for name in ("mean", "corrected", "ci_low", "ci_high")}


def reliability_entry(findings: Findings) -> dict[str, Any]:
    """Return the ``reliability`` of summary.json, A's and B's, where held-out masks have several models each."""
    found = {name: score.get("reliability") for name, score in zip(("a", "b"), findings.scores, strict=True)}
    return {"reliability": found} if all(found.values()) else {}


def subpopulation_entry(findings: Findings, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the ends of one direction share, by sign and part; empty for directions that are not described."""
    for place, ends in findings.descriptions:
        if (place.side, place.index) == (entry["side"], entry["index"]):
            return {sign: {part: ends[part][sign].facts for part in PARTS} for sign in SIGNS}
    return {}


def spread_entry(settings: ComparisonConfig, findings: Findings) -> dict[str, Any] | None:
    """Return what makes one algorithm's models lie further apart: the training examples and targets at both ends.

    top: where A is the less stable the more of the examples are left in, against B; bottom: where B is.
    """
    found = findings.spread
    if found is None:
        return None
    train, targets = extremes(found.direction, settings.top), extremes(found.projections, settings.top)
    return {
        "kind": found.kind,
        "p": found.p,
        "variance": found.variance,
        "significant": found.p <= settings.significance,
        "carried_by": {"targets": participation(found.projections), "train": participation(found.direction)},
        **{f"{end}_train": of.tolist() for end, of in zip(("top", "bottom"), train, strict=True)},
        **{f"{end}_targets": found.targets[of].tolist() for end, of in zip(("top", "bottom"), targets, strict=True)},
    }


def build_summary(comparison: Comparison, findings: Findings) -> dict[str, Any]:
    """Return the content of summary.json."""
    directions = entries_with_power(comparison.study.comparison, findings)
    for entry in directions:
        entry["subpopulations"] = subpopulation_entry(findings, entry)
    effects, found = transformation_entries(findings.effects), found_entries(findings)
    a, b = findings.scores
    summary: dict[str, Any] = {
        "study": comparison.study.name,
        "digest": comparison.digest,
        "algorithms": {
            name: {
                "name": config.name,
                "kind": config.kind,
                "training": training.prefix,
                **{key: scores[key] for key in ("models", "diverged", "subset_accuracy", "ensemble_accuracy")},
                "left_out": scores.get("left_out", 0),
                "ensemble_models": comparison.study.ensemble.models,
            }
            for name, config, training, scores in (
                ("a", comparison.study.algorithm_a, comparison.trainings[0], a),
                ("b", comparison.study.algorithm_b, comparison.trainings[1], b),
            )
        },
        "lds": {"a": lds_entry(a), "b": lds_entry(b)},
        **reliability_entry(findings),
        **estimator_entries(findings),
        "plain": findings.plain,
        "spread": spread_entry(comparison.study.comparison, findings),
        "similarity": float(findings.directions.arrays["similarity"].mean()),
        "excluded_targets": np.flatnonzero(findings.directions.arrays["excluded"]).tolist(),
        "directions": directions,
        **products_summary(findings),
        **contrast_summary(
            comparison.study.comparison,
            findings,
            directions,
            found,
            comparison.study.verdict,
            comparison.study.effects.alpha,
        ),
        "transformations": effects,
        "found": found,
    }
    return {**summary, "findings": [*sentences(comparison, findings, summary), *findings.noticed]}


def products_summary(findings: Findings) -> dict[str, Any]:
    """Return the ``products`` of a summary without datamodels, nothing of any other."""
    found = findings.trainings
    return (
        {}
        if found is None
        else {"products": {**products_entry(found, findings.scores), "smoothness": findings.smoothness}}
    )


def contrast_summary(
    settings: ComparisonConfig,
    findings: Findings,
    directions: list[dict[str, Any]],
    found: list[dict[str, Any]],
    asked: VerdictConfig,
    alpha: float = 0.05,
) -> dict[str, Any]:
    """Return what summary.json has of a contrast beside its directions; nothing for residual analyses.

    ``hypothesis``; ``differences``, directions that are one difference together; ``total``, all that differs;
    ``reaction``, how strongly margins react; ``verdict``. asked: its margins. alpha: of each end of an effect.
    """
    if findings.contrast is None:
        return {}
    moved: dict[tuple[str, int], set[str]] = {}
    for one in found:
        for along in one["along"] if one["distinguishing"] else ():
            moved.setdefault((along["side"], along["index"]), set()).add(one["name"])
    said = verdict_of(findings.contrast, settings, asked.margin)
    judged = [*findings.effects, *(one for _, one in findings.found)]
    return {
        "hypothesis": settings.hypothesis,
        "differences": difference_entries(directions, moved, findings.contrast),
        "total": total_entry(findings.contrast, findings.contrast.significant(settings)),
        "reaction": slope_entry(findings.contrast),
        "verdict": verdict_on_all(said, judged, asked, alpha),
    }


def study_record(comparison: Comparison, findings: Findings) -> dict[str, Any]:
    """Return the content of study.json: the study, and the keys of everything that it is made of."""
    if isinstance(comparison, MatrixFreeComparison):
        return _matrix_free_record(comparison)
    pair, contrast = comparison.pair, findings.contrast
    assert isinstance(pair, Pair)
    null = {pair.null_block(i).key for i in comparison.null_blocks}
    if contrast is not None:
        null = {ContrastNull(pair, rank, 0).reference.key for rank in range(len(contrast.tested.draws))}
    return {
        "study": comparison.study.model_dump(mode="json"),
        "digest": comparison.digest,
        "trainings": {which: training.prefix for which, training in comparison.sides.items()},
        "datamodels": {
            name: [r.reference.key for r in (fits if contrast is None else fits[:1])]
            for name, fits in (("a", pair.a), ("b", pair.b))
        },
        **_others(comparison),
        "directions": pair.directions.key,
        "plain": comparison.plain.reference.key,
        "spread": None if comparison.spread is None else comparison.spread.reference.key,
        "null": sorted(null),
        "null_block": NULL_BLOCK if contrast is None else BLOCK,
        "effects": {a.test.name: {"a": a.reference.key, "b": b.reference.key} for a, b in comparison.effects()},
    }


def _matrix_free_record(comparison: MatrixFreeComparison) -> dict[str, Any]:
    """Return the same of a comparison without datamodels: its products take their place."""
    pair = comparison.pair
    return {
        "study": comparison.study.model_dump(mode="json"),
        "digest": comparison.digest,
        "trainings": {which: training.prefix for which, training in comparison.sides.items()},
        "basis": pair.basis.product.reference.key,
        "products": {
            which: [one.product.reference.key for one in own] for which, own in (("a", pair.a), ("b", pair.b))
        },
        "directions": pair.directions.key,
        "plain": comparison.plain.reference.key,
        "effects": {a.test.name: {"a": a.reference.key, "b": b.reference.key} for a, b in comparison.effects()},
    }


def effects_table(findings: Findings) -> bytes:
    """Return the content of effects.parquet: a row for each transformation and intensity."""
    import pandas as pd

    table = io.BytesIO()
    pd.DataFrame(effect_rows(findings.effects)).to_parquet(table, index=False)
    return table.getvalue()


def _others(comparison: Comparison) -> dict[str, Any]:
    """Return where the datamodels of the estimators beside the comparison's own are stored, if there are any."""
    also = comparison.study.regression.also
    found = {kind: {n: comparison.scored()[n, kind].reference.key for n in ("a", "b")} for kind in also}
    return {"other_datamodels": found} if found else {}
