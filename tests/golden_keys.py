"""What a configuration says of its store before anything is run: keys, digests and masks. The tests' only view of that.

Golden files are compared with what the functions of this module give, so whoever plans or runs studies in another way
changes this module and nothing else of the golden tests.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from flows.cli.compose import request
from modeldiff_core.identity import digest, plain
from modeldiff_core.stages.adopt import Adopted
from modeldiff_core.stages.adopted import AdoptedComparison
from modeldiff_core.stages.adopted import score_reference as adopted_score_reference
from modeldiff_core.stages.adopted_examples import read_examples
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.consolidate import matrix_at
from modeldiff_core.stages.counterfactual import Counterfactual, judge, train_without
from modeldiff_core.stages.curve import Curve
from modeldiff_core.stages.gram import gram_reference
from modeldiff_core.stages.inventory import results, shard_sets_among
from modeldiff_core.stages.references import Reference, refer
from modeldiff_core.stages.regress import block_key
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.stored import Stored
from modeldiff_core.stages.times import time_key
from modeldiff_core.store import MarginMatrix, ObjectStore, StoreSettings, shard_key
from modeldiff_core.store.chunks import metadata
from modeldiff_core.store.matrices import COLUMNS, ROWS, grids
from modeldiff_core.study import parse_study
from modeldiff_core.study.adopted import AdoptedStudy
from modeldiff_core.study.counterfactual import CounterfactualConfig
from tests.golden_files import FIRST_MASKS, Golden
from tests.modeldiff_core.stages.studies import run

NOWHERE = StoreSettings("memory://golden")
"""A store that stays empty: references are made without looking into it."""


def composed(name: str) -> dict[str, Any]:
    """All settings of the study of that name in conf/, as plain values."""
    return request([f"study={name}"]).study.model_dump(mode="json")


def static_keys(golden: Golden) -> list[str]:
    """Every key that follows from the configuration alone, sorted, under the assumption that no model diverges."""
    found: set[str] = set()
    for comparison in _comparisons(golden):
        found |= set(_comparison_keys(comparison))
    for check in _checks(golden):
        found |= {removal.reference.record for which in (0, 1) for removal in check.removals(which)}
        page = check.record.key
        found |= {check.record.record, *(f"{page}/{name}" for name in ("index.html", "scatter.png", "scatter.svg"))}
    if golden.adopted is not None:
        found |= set(_adopted_keys(_adopted(golden.adopted)))
    return sorted(found)


def digests(golden: Golden) -> dict[str, str]:
    """The digest of every result by the key of the object that makes it complete, and of trainings and comparisons."""
    references: list[Reference] = []
    found: dict[str, str] = {}
    for comparison in _comparisons(golden):
        found |= {f"{training.prefix}/training.json": digest(training.identity) for training in comparison.trainings}
        references += [comparison.summary, *results(comparison).values()]
        for training in comparison.trainings:
            curve = Curve.of(comparison.study, training)
            references += [curve.point(size) for size in curve.sizes(comparison.study.subsets.models)]
    for check in _checks(golden):
        references += [check.record, *(removal.reference for which in (0, 1) for removal in check.removals(which))]
    if golden.adopted is not None:
        adopted = _adopted(golden.adopted)
        for side in (adopted.a, adopted.b):
            found[f"{side.folder}/training.json"] = digest(side.training)
            references.append(side.reference)
        references += [adopted.summary, adopted.directions]
        if adopted.a.kind == "margins":
            references += [fit.reference for fit in (*adopted.pair.a, *adopted.pair.b)]
            references += [adopted_score_reference(fit) for fit in adopted.scored().values()]
            references += [adopted.pair.null_block(block) for block in adopted.null_blocks]
    return found | {reference.record: reference.digest for reference in references}


def masks(golden: Golden) -> dict[str, list[str]]:
    """SHA-256 of the first masks of each training, packed eight to a byte, by the training's folder."""
    return {
        training.prefix: [
            hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
            for mask in training.sampler(len(training.load().train)).masks(range(FIRST_MASKS))
        ]
        for comparison in _comparisons(golden)
        for training in comparison.trainings
    }


def complete(store: ObjectStore, golden: Golden) -> None:
    """Run the studies of a golden file, and the counterfactual check if there is one, in this process."""
    settings: Any = plain(store.settings)
    for comparison in _comparisons(golden):
        run(store, comparison)
    for check in _checks(golden):
        for which in (0, 1):
            for removal in check.removals(which):
                train_without(settings, removal.to_json(), {"device": "cpu", "stack": 20})
        study = check.comparison.study.model_dump(mode="json")
        judge(settings, study, check.settings.model_dump(mode="json"))


def _comparisons(golden: Golden) -> list[Comparison]:
    return [Comparison.of(parse_study(study)) for study in golden.studies]


def _checks(golden: Golden) -> list[Counterfactual]:
    if golden.counterfactual is None:
        return []
    settings = CounterfactualConfig.model_validate(golden.counterfactual)
    return [Counterfactual(comparison, settings) for comparison in _comparisons(golden)]


def _comparison_keys(comparison: Comparison) -> Iterator[str]:
    study = comparison.study
    for shards in shard_sets_among((), comparison):
        folder = shards.training.subsets if shards.kind == "subsets" else shards.training.ensemble
        yield from (shard_key(folder, index) for index in range(shards.wanted))
    for training in comparison.trainings:
        yield f"{training.prefix}/training.json"
        curve = Curve.of(study, training)
        for size in curve.sizes(study.subsets.models):
            yield from (curve.point(size).record, curve.weights_key(size))
    fits = comparison.regressions().values()
    for training in comparison.trainings:
        matrix_of = comparison.regression(training, None).matrix
        n_train = len(training.load().train)
        matrix = _matrix(matrix_of, study.subsets.models, n_train, training.targets, training.identity)
        yield from _matrix_keys(matrix)
        yield from _count_keys(matrix, [fit for fit in fits if fit.matrix == matrix_of])
    for fit in fits:
        yield from _datamodels_keys(fit.reference, fit.blocks, timed=True)
    yield from (reference.record for reference in results(comparison).values())
    files = ("study.json", "summary.json", "effects.parquet", "report/index.html", "report/files.json")
    yield from (f"{comparison.folder}/{name}" for name in files)


def _adopted(content: dict[str, Any]) -> AdoptedComparison:
    """The comparison of two adopted sides that are known by their training.json alone."""
    study = AdoptedStudy.model_validate(content["study"])
    a, b = (_side(content[side]) for side in ("a", "b"))
    return AdoptedComparison(study, a, b, read_examples(study, a.n_targets, a.n_train, NOWHERE))


def _side(record: dict[str, Any]) -> Stored:
    said = record["identity"]["adopted"]
    content = {name: value for name, value in said.items() if name not in ("name", "dataset")}
    training = Adopted(said["name"], said["dataset"], content)
    assert training.identity == record["identity"]
    models, n_train, n_targets = int(said.get("models", 0)), said["train"], said["targets"]
    if models:
        reference = matrix_at(training.prefix, training.identity, models)
        return Stored("margins", training.name, reference, models, n_train, n_targets, training.identity, {})
    identity = {"version": record["identity"]["version"], "training": training.identity}
    reference = refer(training.prefix, "datamodels", identity, record="{key}/record.json")
    return Stored("datamodels", training.name, reference, 0, n_train, n_targets, training.identity, {})


def _adopted_keys(adopted: AdoptedComparison) -> Iterator[str]:
    for side in (adopted.a, adopted.b):
        yield f"{side.folder}/training.json"
        if side.kind == "datamodels":
            yield from _datamodels_keys(side.reference, [(0, side.n_targets)], timed=False)
    if adopted.a.kind == "margins":
        fits = [*adopted.pair.a, *adopted.pair.b, *adopted.scored().values()]
        for side in (adopted.a, adopted.b):
            matrix = _matrix(side.reference, side.models, side.n_train, side.n_targets, dict(side.training))
            yield from _matrix_keys(matrix)
            yield from _count_keys(matrix, [fit for fit in fits if fit.matrix == side.reference])
        for fit in fits:
            yield from _datamodels_keys(fit.reference, fit.blocks, timed=True)
        yield from (adopted_score_reference(fit).record for fit in adopted.scored().values())
        yield from (adopted.pair.null_block(block).record for block in adopted.null_blocks)
    yield adopted.directions.record
    files = ("study.json", "summary.json", "directions.csv", "report/index.html", "report/files.json")
    yield from (f"{adopted.folder}/{name}" for name in files)


def _matrix(reference: Reference, models: int, n_train: int, n_targets: int, identity: dict[str, Any]) -> MarginMatrix:
    """A matrix as its record will say it is, if no model diverges."""
    chunk = -(-models // -(-models // ROWS)), min(COLUMNS, n_targets)
    record = {
        "identity": {"training": identity}, "group": f"{reference.key.rsplit('/', 1)[-1]}.*.zarr", "models": models,
        "n_train": n_train, "n_targets": n_targets, "dtype": "float32", "chunk": list(chunk), "diverged": [],
    }  # fmt: skip
    return MarginMatrix(ObjectStore(NOWHERE), reference.key, record)


def _matrix_keys(matrix: MarginMatrix) -> Iterator[str]:
    said = matrix.record
    rows, columns = said["chunk"]
    parts = grids(said["models"], said["n_train"], said["n_targets"], (rows, columns), np.dtype(said["dtype"]))
    yield f"{matrix.key}.json"
    yield from (f"{matrix.group}/{name}" for name in metadata(parts))
    for grid in parts:
        yield from (f"{matrix.group}/{grid.object(i, j)}" for i in range(grid.counts[0]) for j in range(grid.counts[1]))


def _count_keys(matrix: MarginMatrix, fits: list[Regression]) -> Iterator[str]:
    """Counts of masks, and the times that they took."""
    for fit in fits:
        if getattr(fit.estimator, "uses_counts", False):
            record = gram_reference(matrix, fit.first, fit.half).record
            yield from (record, time_key(record))


def _datamodels_keys(reference: Reference, blocks: list[tuple[int, int]], timed: bool) -> Iterator[str]:
    yield reference.record
    for start, stop in blocks:
        key = block_key(reference, start, stop)
        yield from (key, time_key(key)) if timed else (key,)
