"""Stage: walk everything that a study refers to in its store, and name what is not sound.

Every object that the study needs is read and checked; every other object in its folders must be explained by its
name and, where it is a part of something, by the record that makes the whole complete.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

from modeldiff_core.errors import DamagedObject
from modeldiff_core.stages.adopted import AdoptedComparison
from modeldiff_core.stages.adopted_checks import adopted_checks, part_check
from modeldiff_core.stages.checks import (
    Check,
    Foreign,
    block_check,
    distinct,
    ensemble_check,
    other_check,
    result_checks,
    shard_checks,
    subset_check,
)
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.directions import FOLDER
from modeldiff_core.stages.gram import FOLDER as GRAMS
from modeldiff_core.stages.strays import Folders, Loose, Stray, unexplained
from modeldiff_core.store import ObjectStore
from modeldiff_core.store.verify import every_object, left_probes

READERS = 16
"""Shards read at a time: on object storage a read waits for the network, not for the processor."""


@dataclass(frozen=True)
class Finding:
    """Something that is not sound. objects: what has to be removed so that a run makes it anew."""

    key: str
    kind: Literal["damaged", "foreign", "missing", "stray"]
    why: str
    objects: tuple[str, ...] = ()


def verify(
    store: ObjectStore, comparison: Comparison, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Finding, ...]:
    """Everything damaged, foreign, missing or stray of a study, in the order of its stages, strays last.

    progress: told how many objects of how many have been read. Memory: READERS shards, or one block of a matrix. A
    fault of the store itself is raised as StoreError, never taken for damage.
    """
    keys = _keys(store, [training.prefix for training in distinct(comparison)])
    shards, results = list(shard_checks(store, comparison)), list(result_checks(store, comparison, keys))
    pair = comparison.pair
    folders = Folders(
        tuple(training.prefix for training in comparison.trainings), comparison.folder, pair.directions,
        pair.null_block(0).key,
    )  # fmt: skip
    rest = list(unexplained(store, folders, keys, {check.key for check in (*shards, *results)}))
    shards += [_loose_check(store, comparison, item) for item in rest if isinstance(item, Loose)]
    return _walk(keys, shards, results, rest, progress)


def verify_adopted(
    store: ObjectStore, comparison: AdoptedComparison, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Finding, ...]:
    """As `verify`, of a comparison of margins or attributions that are in the store, with both sides' folders."""
    sides = {side.folder: side for side in (comparison.a, comparison.b)}
    keys = _keys(store, sides)
    results = list(adopted_checks(store, comparison, keys))
    null = comparison.pair.null_block(0).key if comparison.a.kind == "margins" else None
    folders = Folders(tuple(sides), comparison.folder, comparison.directions, null)
    rest = list(unexplained(store, folders, keys, {check.key for check in results}))
    parts = [part_check(store, item, sides) for item in rest if isinstance(item, Loose)]
    return _walk(keys, parts, results, rest, progress)


def _keys(store: ObjectStore, folders: Iterable[str]) -> frozenset[str]:
    """Everything in these folders, in those of comparisons and of counts, and what probes left."""
    return frozenset(left_probes(store).union(*(every_object(store, folder) for folder in (*folders, FOLDER, GRAMS))))


def _walk(
    keys: frozenset[str],
    parts: Sequence[Check],
    results: Sequence[Check],
    rest: Iterable[Stray | Loose],
    progress: Callable[[int, int], None],
) -> tuple[Finding, ...]:
    """Carry out the checks, of parts several at a time; strays come last."""
    findings = []
    with ThreadPoolExecutor(READERS) as readers:
        found: Iterable[Finding | None] = readers.map(partial(_finding, keys), parts)
        for done, finding in enumerate(found, 1):
            progress(done, len(parts) + len(results))
            findings.append(finding)
    for done, check in enumerate(results, 1 + len(parts)):
        findings.append(_finding(keys, check))
        progress(done, len(parts) + len(results))
    strays = (Finding(item.key, "stray", item.why, item.objects) for item in rest if isinstance(item, Stray))
    return (*(finding for finding in findings if finding is not None), *strays)


def repair(store: ObjectStore, findings: Iterable[Finding]) -> list[str]:
    """Remove what the findings say has to go, so that the next run makes it anew; gives the keys.

    Not while a run writes to the study's folders: until it is complete, what it writes counts as stray.
    """
    keys = list(dict.fromkeys(key for finding in findings for key in finding.objects))
    for key in keys:
        store.delete(key)
    return keys


def _finding(keys: frozenset[str], check: Check) -> Finding | None:
    removed = tuple(key for key in check.removed if key in keys)
    if check.key not in keys:
        return Finding(check.key, "missing", "is not there", removed)
    try:
        check.run()
    except FileNotFoundError as error:
        return Finding(check.key, "missing", f"a part of it is not there ({error})", removed)
    except Foreign as error:
        return Finding(check.key, "foreign", str(error), removed)
    except DamagedObject as error:
        return Finding(check.key, "damaged", str(error), removed)
    return None


def _loose_check(store: ObjectStore, comparison: Comparison, loose: Loose) -> Check:
    if loose.shard is None:
        return block_check(store, loose.key, loose.digest) if loose.digest else other_check(store, loose.key)
    (training,) = (t for t in distinct(comparison) if loose.key.startswith(f"{t.prefix}/"))
    return {"subsets": subset_check, "ensemble": ensemble_check}[loose.kind](store, training, loose.shard)
