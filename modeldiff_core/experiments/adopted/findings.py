"""What a comparison of adopted results found, read back from the store."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from modeldiff_core.comparison import extremes
from modeldiff_core.experiments.adopted.comparison import AdoptedComparison
from modeldiff_core.experiments.compare.contrasts import read_contrast
from modeldiff_core.experiments.compare.findings import (
    Findings,
    carriers,
    entries_with_power,
    estimator_scores,
    read_descriptions,
    read_directions,
)
from modeldiff_core.experiments.compare.noticed import about_matrices, about_opposed, about_own_class
from modeldiff_core.margins.screening import Screening
from modeldiff_core.stages.directions import SIDES
from modeldiff_core.stages.regress import read_blocks
from modeldiff_core.stages.score import Score
from modeldiff_core.stages.screening import ScreeningOf, undefined_examples
from modeldiff_core.store import ObjectStore, read_record


def read_adopted_findings(store: ObjectStore, comparison: AdoptedComparison) -> Findings:
    """Return everything that was found, checked; of ready attributions that is directions and their ends."""
    findings = _measured(store, comparison)
    findings = replace(
        findings,
        noticed=tuple(_noticed(store, comparison, findings)),
        undefined=undefined_examples(side.record for side in comparison.sides.values()),
    )
    ends = comparison.described(entries_of(comparison, findings))
    return replace(findings, descriptions=read_descriptions(store, ends))


def _noticed(store: ObjectStore, comparison: AdoptedComparison, findings: Findings) -> Iterator[str]:
    """Yield what is odd about the models, masks and datamodels of both sides."""
    known, margins = comparison.known, comparison.a.kind == "margins"
    if margins:
        keys = {side.name: side.reference.key for side in comparison.sides.values()}
        screening = ScreeningOf(Screening(), "margin", len(known.classes))
        yield from about_matrices(store, keys, dict.fromkeys(keys, screening))
    yield from about_opposed(findings.directions.arrays["similarity"], comparison.a.name, comparison.b.name)
    for side in comparison.sides.values():
        reference = comparison.regression(side, None).reference if margins else side.reference
        weights = read_blocks(store, reference).weights
        yield from about_own_class(weights, known.targets.labels, known.train.labels, side.name)


def _measured(store: ObjectStore, comparison: AdoptedComparison) -> Findings:
    """Return the directions, and of margins their null and the scores."""
    directions, null = read_directions(store, comparison)
    if comparison.a.kind == "datamodels":
        return Findings(directions, null, ({}, {}))
    config, fits = comparison.study.regression, comparison.scored()
    scores = {name: read_record(store, Score(fit).reference.record) for name, fit in fits.items()}
    own = scores["a", config.estimator], scores["b", config.estimator]
    contrast = read_contrast(store, comparison) if comparison.contrasted else None
    also = estimator_scores(store, config, fits, scores)
    return Findings(directions, null, own, estimators=also, contrast=contrast)


def direction_entries(store: ObjectStore, comparison: AdoptedComparison) -> list[dict[str, Any]]:
    """Return the ``directions`` of summary.json, but for what their ends share."""
    return entries_of(comparison, _measured(store, comparison))


def entries_of(comparison: AdoptedComparison, findings: Findings) -> list[dict[str, Any]]:
    """Return the ``directions`` of summary.json."""
    if comparison.a.kind == "margins":
        return entries_with_power(comparison.study.comparison, findings)
    return _untested_entries(comparison, findings.directions.arrays)


def _untested_entries(comparison: AdoptedComparison, arrays: Any) -> list[dict[str, Any]]:
    """Return the ``directions`` of summary.json where nothing was cross-fitted: null where a number would mislead, p
    = 1.
    """
    top = comparison.study.comparison.top
    entries = []
    for side in SIDES:
        for i, direction in enumerate(arrays[f"{side}.directions"]):
            most, least = extremes(arrays[f"{side}.projections"][:, i], top)
            entries.append(
                {
                    "side": side,
                    "index": i,
                    "explained_variance": {"a": None, "b": None},
                    "explained_variance_in_sample": {n: float(arrays[f"{side}.in_sample_{n}"][i]) for n in ("a", "b")},
                    "null_p": 1.0,
                    "p_adjusted": 1.0,
                    "stability": None,
                    "overlap": None,
                    "models_needed": None,
                    "significant": False,
                    "top_targets": most.tolist(),
                    "bottom_targets": least.tolist(),
                    "top_train": extremes(direction, top)[0].tolist(),
                    "carried_by": carriers(arrays, side, i),
                }
            )
    return entries
