"""Datamodels in a store: blocks of targets, and the record that names them."""

from collections.abc import Collection
from dataclasses import dataclass

from modeldiff_core.errors import DamagedObject
from modeldiff_core.plan import Array, Reference
from modeldiff_core.plan.products import digested, read_checked
from modeldiff_core.store import ObjectStore


def block_key(reference: Reference, start: int, stop: int) -> str:
    """Return the key of the block of targets start..stop−1."""
    return f"{reference.key}/targets-{start:06d}-{stop:06d}.safetensors"


@dataclass(frozen=True)
class Blocks:
    """Complete datamodels: the record and the blocks that it names, whatever their size."""

    reference: Reference
    targets: int
    units: int

    def lacking(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        if self.reference.record not in keys:
            return (self.reference.record,)
        try:
            blocks = self.named(store)
        except DamagedObject:
            return (self.reference.record,)
        return tuple(key for key in blocks if key not in keys)

    def objects(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        if self.reference.record not in keys:
            return ()
        try:
            blocks = self.named(store)
        except DamagedObject:
            blocks = {}
        return (self.reference.record, *(key for key in blocks if key in keys))

    def check(self, store: ObjectStore) -> None:
        for key, targets in self.named(store).items():
            read_checked(store, key, {"datamodels": self.reference.digest}, block_arrays(targets, self.units), False)

    def named(self, store: ObjectStore) -> dict[str, int]:
        """Return the blocks that the record names, with their numbers of targets; raises DamagedObject."""
        record = self.reference.record
        content = digested(store, record, self.reference.digest)
        found: dict[str, int] = {}
        try:
            for key in content["blocks"]:
                start, stop = (int(number) for number in key.removesuffix(".safetensors").rsplit("-", 2)[1:])
                if start != sum(found.values()) or stop <= start:
                    raise DamagedObject(
                        f"{store.url(record)}: its blocks leave out targets from {sum(found.values())} on",
                        keys=(record,),
                    )
                found[key] = stop - start
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedObject(
                f"{store.url(record)}: names no blocks ({type(error).__name__}: {error})", keys=(record,)
            ) from error
        if sum(found.values()) != self.targets:
            raise DamagedObject(
                f"{store.url(record)}: {sum(found.values())} targets, expected {self.targets}", keys=(record,)
            )
        return found


def block_arrays(targets: int, units: int) -> tuple[Array, ...]:
    """Return the arrays of a block that have to be finite."""
    return Array("weights", {"targets": targets, "train": units}), Array("bias", {"targets": targets})
