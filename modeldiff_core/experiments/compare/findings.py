"""What a comparison found, read back from the store, and which of its directions are significant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison import extremes, models_needed
from modeldiff_core.experiments.compare.compared import Compared
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.contrasts import ContrastFindings, contrast_entries, known, read_contrast
from modeldiff_core.experiments.compare.matrix_free import MatrixFreeComparison, training_entries
from modeldiff_core.experiments.compare.noticed import about_full_models, about_matrices
from modeldiff_core.identity import canonical_json, plain
from modeldiff_core.stages.directions import SIDES
from modeldiff_core.stages.effects import pairing, read_changes
from modeldiff_core.stages.enrichment import Described, Description, Ends, over_all_lists, read_description
from modeldiff_core.stages.matrix_free import FoundDirections, MatrixFree, read_directions_of
from modeldiff_core.stages.plain import read_plain
from modeldiff_core.stages.regress import seconds_taken
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.score import TrainedScore
from modeldiff_core.stages.screening import ScreeningOf
from modeldiff_core.stages.search import Search, read_finalists, searches
from modeldiff_core.stages.smoothness import smoothness_entry
from modeldiff_core.stages.spread import FoundSpread, read_spread
from modeldiff_core.statistics import holm, p_values, participation
from modeldiff_core.store import ObjectStore, TensorObject, read_record, read_tensors
from modeldiff_core.study.config import ComparisonConfig, RegressionConfig
from modeldiff_core.transformations import Judged, Measured, judge, read


@dataclass(frozen=True)
class EstimatorScores:
    """A's and B's scores of one kind of estimator, and the seconds that they took (None where it was not measured)."""

    kind: str
    scores: tuple[dict[str, Any], dict[str, Any]]
    seconds: tuple[float | None, float | None]


@dataclass(frozen=True)
class Findings:
    """What was computed, read back from the store: the directions' arrays, the pooled null, scores and effects.

    scores: A's and B's, of the estimator that the comparison uses. estimators: that one and those beside it; empty
    where it is alone. found: what the search put to the test, with the searches that proposed it. descriptions: what
    the ends of significant directions share. noticed: what is odd about models, masks and margins, in sentences.
    undefined: training examples that every model has, or none: what they matter cannot be told. plain: what the
    full-data models differ in before any direction. spread: the leading direction of differences in spread; None where
    it was not looked for.
    contrast: what a contrast found; None for residual analyses. trainings: what differentiated trainings found, with
    neither datamodels nor residuals; None where there are any. smoothness: of their training.
    """

    directions: TensorObject
    null: Float[np.ndarray, " draws"]
    scores: tuple[dict[str, Any], dict[str, Any]]
    effects: tuple[Judged, ...] = ()
    estimators: tuple[EstimatorScores, ...] = ()
    found: tuple[tuple[tuple[Search, ...], Judged], ...] = ()
    descriptions: tuple[tuple[Ends, Described], ...] = ()
    noticed: tuple[str, ...] = ()
    plain: Mapping[str, Any] | None = None
    spread: FoundSpread | None = None
    undefined: tuple[int, ...] = ()
    contrast: ContrastFindings | None = None
    trainings: FoundDirections | None = None
    smoothness: Mapping[str, Any] | None = None

    def side(self, side: str, name: str) -> np.ndarray:
        """Return one array of a side's directions."""
        return self.directions.arrays[f"{side}.{name}"]


def read_findings(store: ObjectStore, comparison: Comparison) -> Findings:
    """Return every result that the comparison refers to, checked."""
    study = comparison.study
    scores, estimators = read_scores(store, comparison)
    own, entries = _measured(store, comparison), significant_entries(store, comparison)
    put, along = _put_to_the_test(store, searches(study, comparison.trainings, comparison.pair, entries))
    judged = judge([*own, *put], study.effects)
    return Findings(
        *read_directions(store, comparison),
        scores,
        judged[: len(own)],
        estimators,
        tuple(zip(along, judged[len(own) :], strict=True)),
        read_descriptions(store, [one.ends for one in descriptions(comparison, entries)]),
        tuple(_noticed(store, comparison)),
        read_plain(store, comparison.plain),
        None if comparison.spread is None else read_spread(store, comparison.spread),
        contrast=read_contrast(store, comparison) if comparison.contrasted else None,
        trainings=read_directions_of(store, comparison.pair) if isinstance(comparison.pair, MatrixFree) else None,
        smoothness=read_smoothness(store, comparison),
    )


def read_smoothness(store: ObjectStore, comparison: Comparison) -> dict[str, Any] | None:
    """Return whether both trainings are smooth enough for their derivatives; None where none are taken."""
    if not isinstance(comparison, MatrixFreeComparison):
        return None
    return smoothness_entry(store, [comparison.handful.smoothness(which) for which in ("a", "b")])


def read_scores(
    store: ObjectStore, comparison: Comparison
) -> tuple[tuple[dict[str, Any], dict[str, Any]], tuple[EstimatorScores, ...]]:
    """Return A's and B's scores, and those of all estimators where several were asked for."""
    if isinstance(comparison, MatrixFreeComparison):
        a, b = (read_record(store, comparison.score(which).reference.record) for which in ("a", "b"))
        return (a, b), ()
    study, estimator = comparison.study, comparison.study.regression.estimator
    fits, sides = comparison.scored(), comparison.sides
    scores = {
        (which, kind): read_record(store, TrainedScore(sides[which], fit, study.ensemble.models).reference.record)
        for (which, kind), fit in fits.items()
    }
    own = scores["a", estimator], scores["b", estimator]
    return own, estimator_scores(store, study.regression, fits, scores)


def _noticed(store: ObjectStore, comparison: Comparison) -> list[str]:
    """Return what is odd about the models."""
    study = comparison.study
    trainings = {training.algorithm.name: training for training in comparison.trainings}
    matrices = {name: comparison.matrix(training).reference.key for name, training in trainings.items()}
    screening = {name: ScreeningOf.of(study, training) for name, training in trainings.items()}
    full = (about_full_models(store, training, study.ensemble.models) for training in trainings.values())
    return [*about_matrices(store, matrices, screening), *chain.from_iterable(full)]


def read_descriptions(store: ObjectStore, ends: Sequence[Ends]) -> tuple[tuple[Ends, Described], ...]:
    """Return what the ends of directions share, in words that are corrected over all of them."""
    found = over_all_lists([read_description(store, one) for one in ends])
    return tuple(zip(ends, found, strict=True))


def _put_to_the_test(store: ObjectStore, along: Sequence[Search]) -> tuple[list[Measured], list[tuple[Search, ...]]]:
    """Return what was put to the test, each once, and the searches that proposed it: directions may propose the
    same.
    """
    found: dict[str, tuple[Measured, tuple[Search, ...]]] = {}
    for search in along:
        for measured in read_finalists(store, search):
            test = measured.test
            key = canonical_json([test.kind, test.target_class, plain(test.parameters)])
            first, others = found.get(key, (measured, ()))
            found[key] = first, (*others, search)
    return [measured for measured, _ in found.values()], [searches for _, searches in found.values()]


def read_directions(store: ObjectStore, comparison: Compared) -> tuple[TensorObject, Float[np.ndarray, " draws"]]:
    """Return the directions' arrays, and the pooled null; of a contrast that of its largest direction."""
    if comparison.contrasted:
        contrast = read_contrast(store, comparison)
        return contrast.content, contrast.tested.draws[0] if contrast.tested.draws else np.empty(0)
    if isinstance(comparison.pair, MatrixFree):
        content = read_directions_of(store, comparison.pair).content
        return content, content.arrays["null"]
    found = comparison.directions
    directions = read_tensors(store, found.record, {"directions": found.digest})
    blocks = [comparison.pair.null_block(i) for i in comparison.null_blocks]
    draws = [read_tensors(store, block.record, {"null": block.digest}).arrays["differences"] for block in blocks]
    kept = np.concatenate(draws)[: comparison.permutations] if draws else np.empty((0, 2, 0), np.float32)
    return directions, kept.ravel()


def estimator_scores(
    store: ObjectStore,
    config: RegressionConfig,
    fits: Mapping[tuple[str, str], Regression],
    scores: Mapping[tuple[str, str], dict[str, Any]],
) -> tuple[EstimatorScores, ...]:
    """Return the estimators side by side, none where the comparison's own is alone; fits, scores: by (a or b, kind)."""
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
    """Return the significant ones of the ``directions`` of summary.json."""
    if comparison.contrasted:
        entries = contrast_entries(comparison.study.comparison, read_contrast(store, comparison))
        return [entry for entry in entries if entry["significant"]]
    if isinstance(comparison.pair, MatrixFree):
        entries = training_entries(comparison.study.comparison, read_directions_of(store, comparison.pair))
        return [entry for entry in entries if entry["significant"]]
    found = Findings(*read_directions(store, comparison), ({}, {}))
    return [entry for entry in direction_entries(comparison.study.comparison, found) if entry["significant"]]


def descriptions(comparison: Comparison, entries: Sequence[Mapping[str, Any]]) -> list[Description]:
    """Return the significant directions whose ends are described."""
    share = comparison.study.search.share
    return [
        Description(comparison.pair, comparison.trainings[0], entry["side"], entry["index"], share)
        for entry in entries
        if entry["significant"]
    ]


def _measured(store: ObjectStore, comparison: Comparison) -> list[Measured]:
    """Return the study's own transformations as A's and B's full-data models see them."""
    settings, models = comparison.study.effects, pairing(comparison.trainings)
    return [
        read(of_a.test, read_changes(store, of_a), read_changes(store, of_b), settings, models)
        for of_a, of_b in comparison.effects()
    ]


def direction_entries(settings: ComparisonConfig, findings: Findings) -> list[dict[str, Any]]:
    """Return the ``directions`` of summary.json, A−B first, each side by decreasing in-sample variance.

    A direction is significant if its p, adjusted over the directions of both sides (Holm), is small enough.
    """
    entries = []
    for side in SIDES:
        variance = {name: findings.side(side, f"variance_{name}") for name in ("a", "b")}
        first, second = side.split("-")
        p = p_values(variance[first] - variance[second], findings.null)
        for i in range(settings.components):
            top, bottom = extremes(findings.side(side, "projections")[:, i], settings.top)
            train, _ = extremes(known(findings.side(side, "directions")[i], findings.undefined), settings.top)
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
                    "top_train": [int(example) for example in train if example not in findings.undefined],
                    "carried_by": carriers(findings.directions.arrays, side, i),
                }
            )
    for entry, adjusted in zip(entries, holm(np.array([entry["null_p"] for entry in entries])), strict=True):
        entry["p_adjusted"] = float(adjusted)
        entry["significant"] = bool(adjusted <= settings.significance)
    return entries


def carriers(arrays: Mapping[str, np.ndarray], side: str, index: int) -> dict[str, float]:
    """Return the participation numbers of a direction: how many test and training examples carry it."""
    return {
        "targets": participation(arrays[f"{side}.projections"][:, index]),
        "train": participation(arrays[f"{side}.directions"][index]),
    }


def entries_with_power(settings: ComparisonConfig, findings: Findings) -> list[dict[str, Any]]:
    """Return the ``directions`` of summary.json with ``models_needed``.

    That is how many models would make a direction that is not significant stand out in 80 % of repetitions, None where
    it cannot be told (see ``comparison.power``).
    """
    if findings.contrast is not None:
        return contrast_entries(settings, findings.contrast, findings.undefined)
    if findings.trainings is not None:
        return training_entries(settings, findings.trainings)
    entries = direction_entries(settings, findings)
    models = min(scores["models"] for scores in findings.scores)
    for entry in entries:
        entry["models_needed"] = None
        if not entry["significant"]:
            first, second = entry["side"].split("-")
            difference = entry["explained_variance"][first] - entry["explained_variance"][second]
            needed = models_needed(difference, findings.null, models, len(entries), settings.significance)
            entry["models_needed"] = None if needed is None else needed.models
    return entries
