"""What each object of a study must be: one check an object, which reads it and raises what is wrong."""

import hashlib
import io
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import differences, plain
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.consolidate import matrix_reference
from modeldiff_core.stages.curve import Curve
from modeldiff_core.stages.directions import NULL_BLOCK, SIDES
from modeldiff_core.stages.effects import Effect
from modeldiff_core.stages.enrichment import PARTS, SIGNS
from modeldiff_core.stages.findings import descriptions, read_findings, significant_entries
from modeldiff_core.stages.gram import gram_reference
from modeldiff_core.stages.references import Reference
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.report import FILES
from modeldiff_core.stages.score import score_reference
from modeldiff_core.stages.search import BOTH, searches
from modeldiff_core.stages.summary import build_summary, effects_table
from modeldiff_core.store import MarginMatrix, ObjectStore, read_record, read_shard, read_tensors, shard_key
from modeldiff_core.store.tensors import Arrays
from modeldiff_core.store.verify import check_matrix
from modeldiff_core.study import Training, shards_of

CLOSE = 1e-6
"""Relative difference of a summary's numbers from those of the results, which another machine's rounding may give."""


class Foreign(DamagedObject):
    """An object that is whole, and made by another configuration than its place says."""


@dataclass(frozen=True)
class Check:
    """One object that must be there, and `run`, which reads it and raises what is wrong.

    removed: what has to go if it is not sound, so that a run makes it anew; a record before what it completes.
    """

    key: str
    run: Callable[[], object]
    removed: tuple[str, ...]


def distinct(comparison: Comparison) -> list[Training]:
    """The comparison's trainings: two, or one if A and B are the same."""
    return list({training.prefix: training for training in comparison.trainings}.values())


def shard_checks(store: ObjectStore, comparison: Comparison) -> Iterator[Check]:
    """Every shard that the study needs."""
    study = comparison.study
    for training in distinct(comparison):
        for index in range(shards_of(study.subsets.models, training.shard_size)):
            yield subset_check(store, training, index)
        for index in range(shards_of(study.ensemble.models, training.ensemble_shard_size)):
            yield ensemble_check(store, training, index)


def subset_check(store: ObjectStore, training: Training, index: int) -> Check:
    """A shard of subset models: bytes, identity, shapes, finite margins."""
    key = shard_key(training.subsets, index)

    def run() -> None:
        try:
            shard = read_shard(store, training.subsets, index, training.identity)
        except DamagedObject:
            _tensors(store, key, training.identity)  # tells a foreign shard from a damaged one
            raise
        expected = training.shard_size, len(training.load().train), training.targets, index * training.shard_size
        found = len(shard.masks), shard.masks.shape[1], shard.margins.shape[1], shard.first
        if found != expected:
            raise DamagedObject(f"{store.url(key)}: (models, train, targets, first model) {found}, expected {expected}")

    return Check(key, run, (key,))


def ensemble_check(store: ObjectStore, training: Training, index: int) -> Check:
    """A shard of full-data models: bytes, identity, shape of the logits, finite weights."""
    key = shard_key(training.ensemble, index)
    shape = (training.ensemble_shard_size, training.targets, len(training.load().classes))
    return Check(key, partial(_tensors, store, key, training.identity, {"logits": shape}), (key,))


def other_check(store: ObjectStore, key: str) -> Check:
    """A result of another study in a training's folder: bytes alone."""
    read = read_tensors if key.endswith(".safetensors") else read_record
    return Check(key, partial(read, store, key), (key,))


def block_check(store: ObjectStore, key: str, short: str) -> Check:
    """A block of datamodels that no record names yet; `short`: what the digest of its datamodels begins with."""

    def run() -> None:
        found = str(read_tensors(store, key).identity.get("datamodels"))
        if not found.startswith(short):
            raise Foreign(f"{store.url(key)}: a block of the datamodels {found[: len(short)]}")

    return Check(key, run, (key,))


def result_checks(store: ObjectStore, comparison: Comparison, keys: Collection[str]) -> Iterator[Check]:
    """Every result that the study needs, from the trainings' records to the report. keys: those that are there."""
    study, pair = comparison.study, comparison.pair
    for training in distinct(comparison):
        record = f"{training.prefix}/training.json"
        yield Check(record, partial(_training_record, store, record, training), (record,))
        matrix = matrix_reference(training, study.subsets.models)
        sizes = study.subsets.models, len(training.load().train), training.targets
        yield matrix_check(store, matrix, training.identity, sizes, keys)
        yield from _curve_checks(store, Curve.of(study, training), study.subsets.models)
    n_train = len(comparison.trainings[0].load().train)
    for regression in {fit.reference.key: fit for fit in comparison.regressions().values()}.values():
        yield from datamodel_checks(store, regression.reference, regression.targets, n_train, keys)
    yield from gram_checks(store, comparison.regressions().values(), n_train, keys)
    scored = {score_reference(*both, study.ensemble.models) for both in comparison.scored().values()}
    for scores in sorted(scored, key=lambda reference: reference.record):
        yield Check(scores.record, partial(digested, store, scores.record, scores.digest), (scores.record,))
    targets, count = comparison.trainings[0].targets, pair.components
    shapes: dict[str, tuple[int, ...]] = {"similarity": (targets,)}
    for side in SIDES:
        shapes |= {f"{side}.directions": (count, n_train), f"{side}.projections": (targets, count)}
    yield tensor_check(store, pair.directions, "directions", shapes)
    for block in comparison.null_blocks:
        yield tensor_check(store, pair.null_block(block), "null", {"differences": (NULL_BLOCK, len(SIDES), count)})
    for effect in {effect.reference.key: effect for both in comparison.effects() for effect in both}.values():
        yield _effect_check(store, effect)
    yield from _search_checks(store, comparison)
    yield from _ending_checks(store, comparison, keys)


def _training_record(store: ObjectStore, key: str, training: Training) -> None:
    _same(store, key, training.identity, read_record(store, key).get("identity"))


def matrix_check(
    store: ObjectStore,
    reference: Reference,
    identity: Mapping[str, Any],
    sizes: tuple[int, int, int],
    keys: Collection[str],
) -> Check:
    """A matrix of a training of that identity; sizes: models, train, targets."""

    def run() -> None:
        matrix = MarginMatrix.open(store, reference.key)
        models, n_train, n_targets = sizes
        expected = {
            "identity": {"training": identity}, "models": models, "n_train": n_train, "n_targets": n_targets,
        }  # fmt: skip
        _same(store, reference.record, expected, {name: matrix.record.get(name) for name in expected})
        check_matrix(matrix)

    groups = sorted(key for key in keys if key.startswith(f"{reference.key}.") and ".zarr/" in key)
    return Check(reference.record, run, (reference.record, *groups))


def _curve_checks(store: ObjectStore, curve: Curve, models: int) -> Iterator[Check]:
    """The points of a learning curve; every later one was computed from a point that is not sound."""
    sizes = curve.sizes(models)
    n_train = len(curve.training.load().train)
    for at, size in enumerate(sizes):
        reference, weights = curve.point(size), curve.weights_key(size)
        identity = {"curve": reference.digest}
        scores, fitted = {"scores": (curve.followed,)}, {"weights": (curve.followed, n_train)}
        later = tuple(key for s in sizes[at:] for key in (curve.point(s).record, curve.weights_key(s)))
        yield Check(reference.record, partial(_tensors, store, reference.record, identity, scores), later)
        yield Check(weights, partial(_tensors, store, weights, identity, fitted), later)


def datamodel_checks(
    store: ObjectStore, reference: Reference, n_targets: int, n_train: int, keys: Collection[str]
) -> Iterator[Check]:
    """The record, and the blocks that it names; a block that is not sound takes the record with it."""
    yield Check(reference.record, partial(_blocks, store, reference, n_targets), (reference.record,))
    try:
        blocks = _blocks(store, reference, n_targets) if reference.record in keys else {}
    except DamagedObject:
        return
    for key, targets in blocks.items():
        shapes = {"weights": (targets, n_train), "bias": (targets,)}
        run = partial(_tensors, store, key, {"datamodels": reference.digest}, shapes, shapes)
        yield Check(key, run, (reference.record, key))


def gram_checks(
    store: ObjectStore, regressions: Iterable[Regression], n_train: int, keys: Collection[str]
) -> Iterator[Check]:
    """Counts of these regressions' masks as far as they are kept: what lacks them counts again."""
    found: dict[str, Reference] = {}
    for regression in regressions:
        try:
            matrix = MarginMatrix.open(store, regression.matrix.key)
            reference = gram_reference(matrix, regression.first, regression.half)
        except (FileNotFoundError, DamagedObject, LookupError, TypeError):
            continue  # what is wrong with the matrix is said of it
        if reference.record in keys:
            found[reference.record] = reference
    for reference in found.values():
        yield tensor_check(store, reference, "gram", {"counts": (n_train, n_train)})


def _blocks(store: ObjectStore, reference: Reference, n_targets: int) -> dict[str, int]:
    """The blocks that a record of datamodels names, with their numbers of targets."""
    record = reference.record
    content = digested(store, record, reference.digest)
    found: dict[str, int] = {}
    try:
        for key in content["blocks"]:
            start, stop = (int(number) for number in key.removesuffix(".safetensors").rsplit("-", 2)[1:])
            if start != sum(found.values()) or stop <= start:
                raise DamagedObject(f"{store.url(record)}: its blocks leave out targets from {sum(found.values())} on")
            found[key] = stop - start
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedObject(f"{store.url(record)}: names no blocks ({type(error).__name__}: {error})") from error
    if sum(found.values()) != n_targets:
        raise DamagedObject(f"{store.url(record)}: {sum(found.values())} targets, expected {n_targets}")
    return found


def tensor_check(store: ObjectStore, reference: Reference, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Check:
    """An object of arrays of these shapes, whose identity is its own digest under that name."""
    run = partial(_tensors, store, reference.record, {name: reference.digest}, shapes)
    return Check(reference.record, run, (reference.record,))


def _effect_check(store: ObjectStore, effect: Effect) -> Check:
    reference = effect.reference

    def run() -> None:
        images = effect.images()
        shape = (len(effect.test.intensities), effect.models, len(images))
        shapes = {"changes": shape, "margins": shape, "images": images.shape}
        arrays = _tensors(store, reference.record, {"effect": reference.digest}, shapes)
        if not np.array_equal(arrays["images"], images):
            raise DamagedObject(f"{store.url(reference.record)}: measured on other images than those chosen")

    return Check(reference.record, run, (reference.record,))


def _search_checks(store: ObjectStore, comparison: Comparison) -> Iterator[Check]:
    """What the ends of significant directions share, and the searches along them."""
    try:
        entries = significant_entries(store, comparison)
    except (DamagedObject, FileNotFoundError):
        return  # what is wrong with the directions or their null is said of them
    image = comparison.trainings[0].load().image_shape
    for spec in descriptions(comparison, entries):
        names = (f"{part}.{sign}.{name}" for part in PARTS for sign in SIGNS for name in ("difference", "error"))
        yield tensor_check(store, spec.reference, "subpopulations", dict.fromkeys(names, image))
    for search in searches(comparison.study, comparison.trainings, comparison.pair, entries):
        proposed = search.proposed
        yield Check(proposed.record, partial(digested, store, proposed.record, proposed.digest), (proposed.record,))
        for which in BOTH:
            yield tensor_check(store, search.candidates(which), "candidates", {})
            yield tensor_check(store, search.finalists(which), "finalists", {})


def _ending_checks(store: ObjectStore, comparison: Comparison, keys: Collection[str]) -> Iterator[Check]:
    """The comparison's own folder; what the summary stands for goes with the summary, and so does the report."""
    summary, page = comparison.summary.record, comparison.report.record
    study, table = f"{comparison.folder}/study.json", f"{comparison.folder}/effects.parquet"
    yield Check(study, partial(digested, store, study, comparison.digest), (summary, study))
    yield Check(table, partial(_table, store, table, comparison), (summary, table))
    yield Check(summary, partial(_summary, store, comparison), (summary, page))
    yield from report_checks(store, comparison.folder, comparison.digest, keys)


def report_checks(store: ObjectStore, folder: str, expected: str, keys: Collection[str]) -> Iterator[Check]:
    """A report's page and figures against the checksums beside them; the page goes with any of them."""
    page, sums = f"{folder}/report/index.html", f"{folder}/report/{FILES}"
    yield Check(sums, partial(digested, store, sums, expected), (page, sums))
    try:
        named = digested(store, sums, expected)["sha256"] if sums in keys else {}
    except DamagedObject:
        named = {}
    for name in sorted({*named, "index.html"}):
        key = f"{folder}/report/{name}"
        run = partial(_file, store, key, named[name]) if name in named else partial(store.read, key)
        yield Check(key, run, tuple(dict.fromkeys((page, key))))


def _table(store: ObjectStore, key: str, comparison: Comparison) -> None:
    import pandas as pd

    try:
        found = pd.read_parquet(io.BytesIO(store.read(key)))
    except (ValueError, OSError) as error:
        raise DamagedObject(f"{store.url(key)}: not a table ({type(error).__name__}: {error})") from error
    try:
        expected = pd.read_parquet(io.BytesIO(effects_table(read_findings(store, comparison))))
    except (DamagedObject, FileNotFoundError):
        return  # what is wrong with the results is said of them
    try:
        pd.testing.assert_frame_equal(found, expected, rtol=CLOSE, atol=CLOSE)
    except AssertionError as error:
        why = str(error).splitlines()[0]
        raise DamagedObject(f"{store.url(key)}: is not what the stored results give ({why})") from error


def _summary(store: ObjectStore, comparison: Comparison) -> None:
    key = comparison.summary.record
    found = digested(store, key, comparison.digest)
    try:
        expected = build_summary(comparison, read_findings(store, comparison))
    except (DamagedObject, FileNotFoundError):
        return  # what is wrong with the results is said of them
    where = departure(plain(expected), found)
    if where:
        raise DamagedObject(f"{store.url(key)}: {where} is not what the stored results give")


def departure(expected: object, found: object, path: str = "") -> str:
    """Where two JSON values differ by more than rounding; empty if nowhere."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        parts = [departure(expected[name], found[name], f"{path}.{name}" if path else name) for name in expected]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        parts = [departure(e, f, f"{path}[{i}]") for i, (e, f) in enumerate(zip(expected, found, strict=True))]
    elif isinstance(expected, float) and isinstance(found, float):
        parts = ["" if math.isclose(expected, found, rel_tol=CLOSE, abs_tol=CLOSE) else path]
    else:
        parts = ["" if expected == found else path or "it"]
    return next((part for part in parts if part), "")


def _file(store: ObjectStore, key: str, expected: str) -> None:
    if hashlib.sha256(store.read(key)).hexdigest() != expected:
        raise DamagedObject(f"{store.url(key)}: does not match its checksum")


def digested(store: ObjectStore, key: str, expected: str) -> dict[str, Any]:
    """A record that holds the digest of what made it."""
    record = read_record(store, key)
    if record.get("digest") != expected:
        raise Foreign(f"{store.url(key)}: digest {record.get('digest')}, expected {expected}")
    return record


def _tensors(
    store: ObjectStore,
    key: str,
    identity: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    finite: Collection[str] | None = None,
) -> Arrays:
    """The arrays of an object, checked: bytes, identity, shapes, and finite values of all (or of those named)."""
    content = read_tensors(store, key)
    _same(store, key, identity, content.identity)
    for name, shape in (shapes or {}).items():
        found = content.arrays[name].shape if name in content.arrays else None
        if found != shape:
            raise DamagedObject(f"{store.url(key)}: {name} of shape {found}, expected {shape}")
    for name in content.arrays if finite is None else finite:
        if not np.isfinite(content.arrays[name]).all():
            raise DamagedObject(f"{store.url(key)}: {name} holds values that are not finite")
    return content.arrays


def _same(store: ObjectStore, key: str, expected: object, found: object) -> None:
    explained = differences(expected, found)
    if explained:
        raise Foreign(f"{store.url(key)}: made by another configuration ({'; '.join(explained)})")
