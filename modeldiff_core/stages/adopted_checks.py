"""What each object of a comparison of adopted results must be; see ``stages.checks``."""

from collections.abc import Collection, Iterator, Mapping
from functools import partial

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import plain
from modeldiff_core.stages.adopted import (
    AdoptedComparison,
    build_adopted_summary,
    direction_entries,
    directions_table,
    score_reference,
)
from modeldiff_core.stages.checks import (
    Check,
    block_check,
    datamodel_checks,
    departure,
    digested,
    gram_checks,
    matrix_check,
    other_check,
    report_checks,
    tensor_check,
)
from modeldiff_core.stages.directions import NULL_BLOCK, SIDES
from modeldiff_core.stages.stored import Stored
from modeldiff_core.stages.strays import Loose
from modeldiff_core.store import ObjectStore, read_record, read_tensors


def adopted_checks(store: ObjectStore, comparison: AdoptedComparison, keys: Collection[str]) -> Iterator[Check]:
    """Everything that the comparison needs, from both sides to the report. keys: those that are there.

    What was adopted cannot be made anew by a run, so it is named and never removed: to adopt it again mends it.
    """
    for side in {side.reference.key: side for side in (comparison.a, comparison.b)}.values():
        for check in _side_checks(store, side, keys):
            yield Check(check.key, check.run, ())
    a, pair = comparison.a, comparison.pair if comparison.a.kind == "margins" else None
    if pair is not None:
        fits = {fit.reference.key: fit for fit in (*pair.a, *pair.b, *comparison.scored().values())}.values()
        for fit in fits:
            yield from datamodel_checks(store, fit.reference, fit.targets, a.n_train, keys)
        yield from gram_checks(store, fits, a.n_train, keys)
        for scores in {ref.record: ref for ref in map(score_reference, comparison.scored().values())}.values():
            yield Check(scores.record, partial(digested, store, scores.record, scores.digest), (scores.record,))
    count = comparison.study.comparison.components
    shapes: dict[str, tuple[int, ...]] = {"similarity": (a.n_targets,)}
    for side_name in SIDES:
        shapes |= {
            f"{side_name}.directions": (count, a.n_train), f"{side_name}.projections": (a.n_targets, count),
        }  # fmt: skip
    yield tensor_check(store, comparison.directions, "directions", shapes)
    if pair is not None:
        for block in comparison.null_blocks:
            yield tensor_check(store, pair.null_block(block), "null", {"differences": (NULL_BLOCK, len(SIDES), count)})
    yield from _description_checks(store, comparison)
    summary, study = comparison.summary.record, f"{comparison.folder}/study.json"
    table = f"{comparison.folder}/directions.csv"
    yield Check(study, partial(digested, store, study, comparison.digest), (summary, study))
    yield Check(table, partial(_table, store, table, summary), (summary, table))
    yield Check(summary, partial(_summary, store, comparison), (summary,))
    yield from report_checks(store, comparison.folder, comparison.digest, keys)


def _description_checks(store: ObjectStore, comparison: AdoptedComparison) -> Iterator[Check]:
    """What the ends of directions share, as far as anything is known of the examples."""
    try:
        described = comparison.described(direction_entries(store, comparison))
    except (DamagedObject, FileNotFoundError):
        return  # what is wrong with the directions or their null is said of them
    for ends in described:
        examples = {"targets": comparison.behind.targets, "train": comparison.behind.train}
        yield tensor_check(store, ends.reference, "subpopulations", ends.shapes(examples))


def part_check(store: ObjectStore, loose: Loose, sides: Mapping[str, Stored]) -> Check:
    """A part that another study may need: a shard by the identity of its training, other objects by their bytes."""
    if loose.shard is not None:
        (side,) = (side for folder, side in sides.items() if loose.key.startswith(f"{folder}/"))
        return Check(loose.key, partial(read_tensors, store, loose.key, side.training), (loose.key,))
    return block_check(store, loose.key, loose.digest) if loose.digest else other_check(store, loose.key)


def _side_checks(store: ObjectStore, side: Stored, keys: Collection[str]) -> Iterator[Check]:
    record = f"{side.folder}/training.json"
    yield Check(record, partial(read_record, store, record), ())
    if side.kind == "margins":
        sizes = side.models, side.n_train, side.n_targets
        yield matrix_check(store, side.reference, side.training, sizes, keys)
    else:
        yield from datamodel_checks(store, side.reference, side.n_targets, side.n_train, keys)


def _summary(store: ObjectStore, comparison: AdoptedComparison) -> None:
    found = digested(store, comparison.summary.record, comparison.digest)
    try:
        expected = build_adopted_summary(store, comparison)
    except (DamagedObject, FileNotFoundError):
        return  # what is wrong with the results is said of them
    where = departure(plain(expected), found)
    if where:
        raise DamagedObject(f"{store.url(comparison.summary.record)}: {where} is not what the stored results give")


def _table(store: ObjectStore, key: str, summary: str) -> None:
    try:
        expected = directions_table(read_record(store, summary)["directions"]).encode()
    except (DamagedObject, FileNotFoundError):
        return  # what is wrong with the summary is said of it
    if store.read(key) != expected:
        raise DamagedObject(f"{store.url(key)}: is not what the summary says")
