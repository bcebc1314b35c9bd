"""A comparison of margins or of attributions that stand in the store, without the algorithms that made them.

From margins everything follows but the effects of transformations, which need models to be shown images. From ready
attributions only residual PCA does: what is measured on the models that chose a direction proves nothing (see
comparison.crossfit), so directions are listed and none of them is tested.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from modeldiff_core.comparison import extremes, residual_pca, similarity
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import digest, plain
from modeldiff_core.stages.adopted_examples import Behind, read_examples
from modeldiff_core.stages.comparison import HALVES, PARTS, plain_settings
from modeldiff_core.stages.directions import FOLDER, NULL_BLOCK, SIDES, Pair, find_directions, null_block
from modeldiff_core.stages.enrichment import Ends, read_description
from modeldiff_core.stages.findings import Findings, entries_with_power, estimator_scores
from modeldiff_core.stages.references import Reference, refer
from modeldiff_core.stages.regress import finish_regression, read_blocks, regress_block
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.score import score_datamodels
from modeldiff_core.stages.sentences import about_datamodels, about_directions
from modeldiff_core.stages.stored import Stored, find_stored
from modeldiff_core.stages.summary import estimator_entries, lds_entry, subpopulation_entry
from modeldiff_core.store import ObjectStore, TensorObject, read_record, read_tensors, write_record, write_tensors
from modeldiff_core.study.adopted import AdoptedStudy
from modeldiff_core.study.check_estimators import check_estimators
from modeldiff_core.transformations import SearchSettings

VERSION = 3
LEAST_FITTED = 20
"""Fewest models that a regression is fitted on."""
UNTESTED = 3
"""Directions of a side whose ends are described where none could be tested."""

Step = tuple[str, Callable[[], object]]


@dataclass(frozen=True)
class AdoptedComparison:
    """An adopted study resolved against the store; every property is a pure function of both."""

    study: AdoptedStudy
    a: Stored
    b: Stored
    behind: Behind

    @classmethod
    def of(cls, store: ObjectStore, study: AdoptedStudy) -> "AdoptedComparison":
        """Find both sides; raises ConfigError for sides that cannot be compared."""
        a, b = find_stored(store, study.a, "a"), find_stored(store, study.b, "b")
        if a.kind != b.kind:
            raise ConfigError("b", f"{a.kind}, as a is", b.reference.key, "A regression makes datamodels of margins")
        if (a.n_targets, a.n_train) != (b.n_targets, b.n_train):
            sizes = "{0.n_targets} targets and {0.n_train} training examples".format
            raise ConfigError("b", f"{sizes(a)}, as a has", sizes(b))
        most = min(a.n_targets, a.n_train) - 1
        if study.comparison.components > most:
            raise ConfigError("comparison.components", f"at most {most}", study.comparison.components)
        if a.kind == "margins":
            check_estimators(study.regression, (), a.n_train)
            if a.models != b.models:
                hint = "Models are exchanged one for one to find what chance does: adopt equally many of both"
                raise ConfigError("b", f"{a.models} models, as a has", b.models, hint)
            if a.models - study.evaluation_models < LEAST_FITTED:
                raise ConfigError("evaluation_models", f"at most {a.models - LEAST_FITTED}", study.evaluation_models)
        return cls(study, a, b, read_examples(study, a.n_targets, a.n_train, store.settings))

    @property
    def digest(self) -> str:
        """Digest of everything that decides the comparison's numbers."""
        asked = self.study.model_dump(include={"comparison", "evaluation_models"}, mode="json")
        settings = plain_settings(asked, self.study.regression)
        known = {"examples": self.behind.fingerprint} if self.behind.fingerprint else {}
        return digest({"version": VERSION, "sources": self._digests, "settings": settings, **known})

    @property
    def folder(self) -> str:
        """Where the summary and the report stand."""
        return f"{FOLDER}/{self.study.name}-{self.digest[:8]}"

    @property
    def summary(self) -> Reference:
        """Where summary.json stands."""
        return Reference(self.folder, self.digest, f"{self.folder}/summary.json")

    @property
    def pair(self) -> Pair:
        """What directions of margins are found from."""
        fits = [tuple(self._regression(side, half) for half in HALVES) for side in (self.a, self.b)]
        (a, a0, a1), (b, b0, b1) = fits
        return Pair.of((a, a0, a1), (b, b0, b1), self.study.comparison)

    @property
    def directions(self) -> Reference:
        """Where the directions stand, of margins or of attributions."""
        if self.a.kind == "margins":
            return self.pair.directions
        settings = self.study.comparison.model_dump(include={"components", "normalize"})
        identity = {"version": VERSION, "scores": self._digests, **settings}
        return refer(FOLDER, "directions", identity, record="{key}.safetensors")

    @property
    def null_blocks(self) -> range:
        """Blocks of the permutation null; attributions have none."""
        permutations = self.study.comparison.permutations if self.a.kind == "margins" else 0
        return range(-(-permutations // NULL_BLOCK))

    @property
    def _digests(self) -> list[str]:
        return [side.reference.digest for side in (self.a, self.b)]

    def scored(self) -> dict[tuple[str, str], Regression]:
        """The regressions that are scored, by algorithm (a or b) and kind of estimator."""
        config, sides = self.study.regression, (("a", self.a), ("b", self.b))
        return {
            (n, kind): self._regression(s, None, kind) for kind in (config.estimator, *config.also) for n, s in sides
        }

    def described(self, entries: list[dict[str, Any]]) -> list[Ends]:
        """The directions whose ends are described: significant ones, of ready attributions the first of each side."""
        if not self.behind.fingerprint:
            return []
        first = 0 if self.a.kind == "margins" else UNTESTED
        return [
            Ends(self.directions, self.behind.fingerprint, entry["side"], entry["index"], SearchSettings().share)
            for entry in entries
            if entry["significant"] or entry["index"] < first
        ]

    def _regression(self, side: Stored, half: int | None, kind: str = "") -> Regression:
        config = self.study.regression
        kind = kind or config.estimator
        return Regression(
            side.reference, side.folder, side.n_targets, self.study.evaluation_models, half, kind,
            config.settings_of(kind), config.block_size,
        )  # fmt: skip


def compare_adopted(
    store: ObjectStore, comparison: AdoptedComparison, progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Compute what the store lacks of the comparison and give its summary.

    progress: told the name of each step before it is taken, its number from 0, and how many there are.
    """
    steps = list(_steps(store, comparison))
    for number, (name, take) in enumerate(steps):
        progress(name, number, len(steps))
        take()
    if not comparison.summary.complete(store):
        _write_summary(store, comparison)
    progress("done", len(steps), len(steps))
    return read_record(store, comparison.summary.record)


def score_reference(fit: Regression) -> Reference:
    """Where the scores of datamodels stand that have no full-data models."""
    return refer(fit.folder, "scores", {"version": VERSION, "datamodels": fit.reference.digest})


def read_adopted_findings(store: ObjectStore, comparison: AdoptedComparison) -> Findings:
    """Everything that was found, read back and checked; of ready attributions that is directions and their ends."""
    findings = _measured(store, comparison)
    ends = comparison.described(_entries(comparison, findings))
    return replace(findings, descriptions=tuple((one, read_description(store, one)) for one in ends))


def _measured(store: ObjectStore, comparison: AdoptedComparison) -> Findings:
    """Directions, and of margins their null and the scores."""
    if comparison.a.kind == "datamodels":
        return Findings(_directions(store, comparison), np.empty(0, np.float32), ({}, {}))
    pair = comparison.pair
    draws = [
        read_tensors(store, pair.null_block(i).record, {"null": pair.null_block(i).digest}).arrays["differences"]
        for i in comparison.null_blocks
    ]
    permutations = comparison.study.comparison.permutations
    null = np.concatenate(draws)[:permutations].ravel() if draws else np.empty(0, np.float32)
    config, fits = comparison.study.regression, comparison.scored()
    scores = {name: read_record(store, score_reference(fit).record) for name, fit in fits.items()}
    own = scores["a", config.estimator], scores["b", config.estimator]
    return Findings(_directions(store, comparison), null, own, (), estimator_scores(store, config, fits, scores))


def _steps(store: ObjectStore, comparison: AdoptedComparison) -> list[Step]:
    """What is missing, in order; each step's result is in the store when it returns."""
    last = [("subpopulations", partial(_describe, store, comparison))] if comparison.behind.fingerprint else []
    if comparison.a.kind == "datamodels":
        lacking = not comparison.directions.complete(store)
        return [*([("directions", partial(_find_directions_of_scores, store, comparison))] if lacking else []), *last]
    settings: Any = plain(store.settings)
    pair, steps = comparison.pair, list[Step]()
    own = comparison.study.regression.estimator
    named = [(f"{label}, {PARTS[fit.half]}", fit) for label, fits in (("a", pair.a), ("b", pair.b)) for fit in fits]
    named += [(f"{label}, {kind}", fit) for (label, kind), fit in comparison.scored().items() if kind != own]
    for name, fit in named:
        if not fit.reference.complete(store):
            for start, stop in fit.blocks:
                step = partial(regress_block, settings, fit.to_json(), start, stop)
                steps.append((f"datamodels of {name}, targets {start}-{stop}", step))
            steps.append((f"datamodels of {name}", partial(finish_regression, settings, fit.to_json())))
        if fit.half is None and not score_reference(fit).complete(store):
            steps.append((f"scores of {name}", partial(_score, store, fit)))
    if not pair.directions.complete(store):
        steps.append(("directions", partial(find_directions, settings, pair.to_json())))
    for block in comparison.null_blocks:
        if not pair.null_block(block).complete(store):
            steps.append((f"null block {block}", partial(null_block, settings, pair.to_json(), block)))
    return [*steps, *last]


def _describe(store: ObjectStore, comparison: AdoptedComparison) -> None:
    behind = comparison.behind
    examples = {"targets": behind.targets, "train": behind.train}
    for ends in comparison.described(direction_entries(store, comparison)):
        if not ends.reference.complete(store):
            ends.describe(store, examples, behind.classes)


def _score(store: ObjectStore, fit: Regression) -> None:
    reference = score_reference(fit)
    write_record(store, reference.record, {"digest": reference.digest, **score_datamodels(store, fit)})


def _find_directions_of_scores(store: ObjectStore, comparison: AdoptedComparison) -> None:
    theta = {name: read_blocks(store, side.reference).weights for name, side in _sides(comparison).items()}
    arrays = {"similarity": similarity(theta["a"], theta["b"])}
    for side in SIDES:
        first, second = side.split("-")
        settings = comparison.study.comparison
        found = residual_pca(theta[first], theta[second], settings.components, normalize=settings.normalize)
        arrays |= {
            f"{side}.directions": found.directions,
            f"{side}.projections": found.projections,
            f"{side}.in_sample_{first}": found.explained_variance_a,
            f"{side}.in_sample_{second}": found.explained_variance_b,
            "excluded": found.excluded,
        }
    reference = comparison.directions
    write_tensors(store, reference.record, TensorObject(arrays, {"directions": reference.digest}, {}))


def _sides(comparison: AdoptedComparison) -> dict[str, Stored]:
    return {"a": comparison.a, "b": comparison.b}


def _directions(store: ObjectStore, comparison: AdoptedComparison) -> TensorObject:
    return read_tensors(store, comparison.directions.record, {"directions": comparison.directions.digest})


def direction_entries(store: ObjectStore, comparison: AdoptedComparison) -> list[dict[str, Any]]:
    """The ``directions`` of summary.json, but for what their ends share."""
    return _entries(comparison, _measured(store, comparison))


def _entries(comparison: AdoptedComparison, findings: Findings) -> list[dict[str, Any]]:
    """The ``directions`` of summary.json."""
    if comparison.a.kind == "margins":
        return entries_with_power(comparison.study.comparison, findings)
    return _untested_entries(comparison, findings.directions.arrays)


def _untested_entries(comparison: AdoptedComparison, arrays: Any) -> list[dict[str, Any]]:
    """The ``directions`` of summary.json where nothing was cross-fitted: null where a number would mislead, p = 1."""
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
                }
            )
    return entries


def build_adopted_summary(store: ObjectStore, comparison: AdoptedComparison) -> dict[str, Any]:
    """The content of summary.json, from the stored results."""
    study, sides = comparison.study, _sides(comparison)
    a, b = comparison.a.name, comparison.b.name
    findings = read_adopted_findings(store, comparison)
    entries, directions = _entries(comparison, findings), findings.directions
    if comparison.behind.fingerprint:
        for entry in entries:
            entry["subpopulations"] = subpopulation_entry(findings, entry)
    if comparison.a.kind == "margins":
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
                "name": side.name, "kind": side.kind, "training": side.folder, "source": side.reference.key,
                **{key: score.get(key) for key in kept},
            }
            for (label, side), score in zip(sides.items(), findings.scores, strict=True)
        },
        "lds": {n: lds_entry(score) if score else None for n, score in zip(sides, findings.scores, strict=True)},
        **estimator_entries(findings),
        "similarity": float(directions.arrays["similarity"].mean()),
        "excluded_targets": np.flatnonzero(directions.arrays["excluded"]).tolist(),
        "directions": entries,
        "transformations": [],
        "findings": [said[0], no_models, *said[1:]],
    }  # fmt: skip


def _write_summary(store: ObjectStore, comparison: AdoptedComparison) -> None:
    """Write study.json, directions.csv and, last, summary.json."""
    study, sides, summary = comparison.study, _sides(comparison), build_adopted_summary(store, comparison)
    record = {
        "study": study.model_dump(mode="json"), "digest": comparison.digest, "directions": comparison.directions.key,
        "sources": {label: side.reference.key for label, side in sides.items()},
    }  # fmt: skip
    write_record(store, f"{comparison.folder}/study.json", record)
    store.write(f"{comparison.folder}/directions.csv", directions_table(summary["directions"]).encode())
    write_record(store, comparison.summary.record, summary)


def directions_table(entries: list[dict[str, Any]]) -> str:
    """The content of directions.csv: a line a direction; what was not measured is left empty."""
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
    return text.getvalue()
