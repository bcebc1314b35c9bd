"""Steps that cost nothing: each adds its number to those that it reads. And plans of such steps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from modeldiff_core.plan import Cost, Record, RecordedFailure, Reference, Step, Wave, refer
from modeldiff_core.plan.products import digested
from modeldiff_core.store import ObjectStore, read_record, write_record

FOLDER = "toys"
MADE: list[str] = []
"""Names of the steps in the order in which they were carried out in this process."""


@dataclass(frozen=True)
class Toy:
    """A number added to the totals that are read. does: what happens, which is no part of the identity."""

    name: str
    number: int = 1
    reads: tuple[Reference, ...] = ()
    does: Literal["add", "fail", "diverge", "spoil", "pause"] = "add"

    @property
    def reference(self) -> Reference:
        return refer(FOLDER, self.name, {"number": self.number, "reads": [one.digest for one in self.reads]})

    @property
    def scratch(self) -> str:
        return f"{self.reference.key}.scratch/"


def make(store: ObjectStore, spec: Toy) -> None:
    MADE.append(spec.name)
    total = spec.number + sum(digested(store, one.record, one.digest)["total"] for one in spec.reads)
    if spec.does == "fail":
        raise ValueError(f"{spec.name} cannot be made")
    if spec.does == "diverge":
        raise RecordedFailure("it diverged", {"loss": 9.5})
    if spec.does == "pause" and not store.exists(f"{spec.scratch}half.json"):
        write_record(store, f"{spec.scratch}half.json", {"total": total})
        raise ValueError("killed in the middle")
    if spec.does == "pause":
        total = read_record(store, f"{spec.scratch}half.json")["total"]
    write_record(store, spec.reference.record, {"digest": spec.reference.digest, "total": total})
    if spec.does == "spoil":
        store.write(spec.reference.record, b"{")


def step(spec: Toy, seconds: float = 1.0, **more: Any) -> Step:
    """The step of a toy, which needs what it reads."""
    scratch = spec.scratch if spec.does == "pause" else ""
    return Step(spec.name, Record(spec.reference), make, spec, spec.reads, cost=Cost(seconds), scratch=scratch, **more)


@dataclass(frozen=True)
class Toys:
    """A plan of such waves; a function of the store is called when its turn comes."""

    parts: tuple[Sequence[Step] | Callable[[ObjectStore], Wave], ...]

    @property
    def folders(self) -> tuple[str, ...]:
        return (FOLDER,)

    @property
    def shared(self) -> tuple[str, ...]:
        return ()

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        for number, part in enumerate(self.parts):
            yield part(store) if callable(part) else Wave(f"wave {number}", tuple(part))


def chain(*names: str) -> tuple[Toy, ...]:
    """Toys of which each reads the one before."""
    toys: list[Toy] = []
    for name in names:
        toys.append(Toy(name, reads=tuple(toy.reference for toy in toys[-1:])))
    return tuple(toys)


def plan_of(*toys: Toy) -> Toys:
    """A plan with one toy in a wave."""
    return Toys(tuple([step(toy)] for toy in toys))


def total(store: ObjectStore, toy: Toy) -> int:
    """The stored total of a toy."""
    return int(read_record(store, toy.reference.record)["total"])


def doing(toy: Toy, does: Literal["add", "fail", "diverge", "spoil", "pause"]) -> Toy:
    """The same toy in a world where something else happens."""
    return replace(toy, does=does)
