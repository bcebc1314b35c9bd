"""What a store holds of a plan, and whether it is sound."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from modeldiff_core.errors import DamagedObject, Outdated
from modeldiff_core.plan.failures import failure_key
from modeldiff_core.plan.listing import Listing
from modeldiff_core.plan.plan import Known, Plan, state_of
from modeldiff_core.plan.products import Foreign, digested
from modeldiff_core.plan.step import Step
from modeldiff_core.plan.strays import strays
from modeldiff_core.store import ObjectStore
from modeldiff_core.store.verify import every_object, left_probes

Kind = Literal["damaged", "foreign", "missing", "stray", "outdated"]
"""outdated: whole and right, in the words of another version; all others are not sound."""
KINDS: dict[type[DamagedObject], Kind] = {Outdated: "outdated", Foreign: "foreign", DamagedObject: "damaged"}
READERS = 16
"""Shards read at a time: on object storage a read waits for the network, not for the processor."""


@dataclass(frozen=True)
class Survey:
    """The steps of a plan and what the store holds of them.

    Attributes:
        steps: Every step that is known, in the plan's order, each result once.
        awaits: Waves whose steps are not known yet, with what they wait for.
        later: Predicted seconds of each of those waves that has a prediction.
        keys: The listing that the states were read from.

    """

    steps: tuple[Known, ...]
    awaits: dict[str, str]
    later: dict[str, float]
    keys: Listing = field(compare=False)

    def of_state(self, *states: str) -> list[Step]:
        """Return the steps in any of these states."""
        return [known.step for known in self.steps if known.state in states]

    @property
    def missing(self) -> list[Step]:
        """The steps that a run would carry out."""
        return self.of_state("missing")

    @property
    def seconds(self) -> float:
        """Predicted seconds of one place for all that is missing."""
        return sum(step.cost.seconds for step in self.missing) + sum(self.later.values())

    @property
    def complete(self) -> bool:
        """Whether a run would do nothing."""
        return not self.missing and not self.awaits

    def groups(self) -> dict[str, list[Known]]:
        """Return the steps by the words that count them together; those without a result to come are left out."""
        found: dict[str, list[Known]] = {}
        for known in self.steps:
            if known.state != "unneeded" and not known.step.serves:
                found.setdefault(known.step.label.group, []).append(known)
        return found


def survey(plan: Plan, store: ObjectStore) -> Survey:
    """Return what the store holds of a plan, by one listing of each of the plan's folders."""
    keys = Listing(store, (*plan.folders, *plan.shared))
    known: dict[str, Known] = {}
    awaits: dict[str, str] = {}
    expected: dict[str, float] = {}
    for wave in plan.waves(store):
        if wave.awaits:
            awaits[wave.title] = wave.awaits
            if wave.seconds is not None:
                expected[wave.title] = expected.get(wave.title, 0.0) + wave.seconds
        for step in wave.steps:
            known.setdefault(step.reference.record, state_of(store, keys, step))
    return Survey(tuple(known.values()), awaits, expected, keys)


@dataclass(frozen=True)
class Finding:
    """Something that is not sound, or outdated. objects: keys to delete so that the next run makes the result again."""

    key: str
    kind: Kind
    why: str
    objects: tuple[str, ...] = ()


def verify(
    plan: Plan, store: ObjectStore, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Finding, ...]:
    """Read every result of a plan and return what is damaged, foreign, missing or stray, strays last.

    Memory: READERS shards, or one block of a matrix. A fault of the store itself is raised as StoreError, it is never
    taken for damage.

    Args:
        plan: The plan.
        store: The store.
        progress: Called with the number of results read and of all.

    """
    found = survey(plan, store)
    keys = frozenset(left_probes(store).union(*(every_object(store, f) for f in (*plan.folders, *plan.shared))))
    wanted = [known for known in found.steps if known.state != "unneeded"]
    many = [known for known in wanted if not known.step.memoized]
    few = [known for known in wanted if known.step.memoized]
    findings: list[Finding | None] = []

    def keep(results: Iterator[Finding | None]) -> None:
        for finding in results:
            findings.append(finding)
            progress(len(findings), len(wanted))

    with ThreadPoolExecutor(READERS) as readers:
        keep(readers.map(partial(_finding, store, keys), many))
    keep(_finding(store, keys, known) for known in few)
    others = _others(plan, store, keys, found.steps)
    first: dict[str, Finding] = {}
    for finding in findings:  # a whole names the objects of its parts too, which are checked before it
        if finding is not None:
            first.setdefault(finding.key, finding)
    return (
        *first.values(),
        *(Finding(s.key, s.kind, s.why, s.objects) for s in strays(store, keys, others)),  # type: ignore[arg-type]
    )


def repair(store: ObjectStore, findings: Sequence[Finding]) -> list[str]:
    """Delete what the findings name, so that the next run makes it again; returns the keys.

    Not while a run writes to the same folders: until a result is complete, its parts count as strays.
    """
    keys = list(dict.fromkeys(key for finding in findings for key in finding.objects))
    for key in keys:
        store.delete(key)
    return keys


def _finding(store: ObjectStore, keys: Collection[str], known: Known) -> Finding | None:
    """Check one result; None if it is sound."""
    step, product = known.step, known.step.makes
    present = () if step.adopted else product.objects(store, keys)
    if known.state == "missing" and known.lacking[0] not in keys:
        return Finding(known.lacking[0], "missing", "is not there", present)
    key = step.reference.record
    try:
        if known.state == "failed":
            digested(store, failure_key(step.reference), step.reference.digest)
            return None
        product.check(store)
        if step.check is not None:
            step.check(store, step.spec)
    except FileNotFoundError as error:
        return Finding(key, "missing", f"a part of it is not there ({error})", present)
    except DamagedObject as error:
        at_fault = [damaged for damaged in error.keys if damaged in product.objects(store, keys)]
        if error.keys and not at_fault:
            return None  # the damaged object is the result of another step, which is checked itself
        kind = next(kind for cls, kind in KINDS.items() if isinstance(error, cls))
        return Finding((at_fault or [key])[0], kind, str(error), present)
    return None


def _others(plan: Plan, store: ObjectStore, keys: Collection[str], steps: Sequence[Known]) -> list[str]:
    """Return the keys that no step makes: all of them in the plan's own folders, in shared ones below its results."""
    made = {key for known in steps for key in known.step.makes.objects(store, keys)}
    made |= {failure_key(known.step.reference) for known in steps if known.state == "failed"}
    made |= {f"{known.step.reference.record.rpartition('.')[0]}.time.json" for known in steps}
    scratch = tuple(known.step.scratch for known in steps if known.step.scratch and known.state == "missing")
    own = (*(f"{folder}/" for folder in plan.folders), *(known.step.reference.key for known in steps))
    return [
        key
        for key in keys
        if key not in made and not key.startswith(scratch) and (key.startswith(own) or "/" not in key)
    ]
