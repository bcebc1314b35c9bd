"""Stage: walk everything that a study refers to in its store, and name what is not sound.

Every object that the study needs is read and checked; every other object in its folders must be explained by its
name and, where it is a part of something, by the record that makes the whole complete.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

from modeldiff_core.errors import DamagedObject
from modeldiff_core.stages.checks import (
    Check,
    Foreign,
    block_check,
    distinct,
    ensemble_check,
    result_checks,
    shard_checks,
    subset_check,
)
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.directions import FOLDER
from modeldiff_core.stages.strays import Loose, Stray, unexplained
from modeldiff_core.store import ObjectStore
from modeldiff_core.store.verify import every_object

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
    folders = [training.prefix for training in distinct(comparison)] + [FOLDER]
    keys = frozenset(key for folder in folders for key in every_object(store, folder))
    shards, results = list(shard_checks(store, comparison)), list(result_checks(store, comparison, keys))
    rest = list(unexplained(store, comparison, keys, {check.key for check in (*shards, *results)}))
    shards += [_loose_check(store, comparison, item) for item in rest if isinstance(item, Loose)]
    findings = []
    with ThreadPoolExecutor(READERS) as readers:
        found: Iterable[Finding | None] = readers.map(partial(_finding, keys), shards)
        for done, finding in enumerate(found, 1):
            progress(done, len(shards) + len(results))
            findings.append(finding)
    for done, check in enumerate(results, 1 + len(shards)):
        findings.append(_finding(keys, check))
        progress(done, len(shards) + len(results))
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
        return block_check(store, loose.key, loose.digest)
    (training,) = (t for t in distinct(comparison) if loose.key.startswith(f"{t.prefix}/"))
    return {"subsets": subset_check, "ensemble": ensemble_check}[loose.kind](store, training, loose.shard)
