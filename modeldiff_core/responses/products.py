"""What responses leave in a store: shards of rows, and the matrix of all rows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modeldiff_core.errors import DamagedObject
from modeldiff_core.plan import OneObject, Reference
from modeldiff_core.plan.products import check_same, read_checked
from modeldiff_core.store import MarginMatrix, ObjectStore, read_record, read_shard
from modeldiff_core.store.verify import check_matrix

if TYPE_CHECKING:
    from modeldiff_core.responses.responses import Responses


@dataclass(frozen=True)
class RowShard(OneObject):
    """One shard of rows: masks, one number for each row and target, and which rows failed."""

    folder: str
    index: int
    identity: Mapping[str, Any]
    sizes: tuple[int, int, int]

    @classmethod
    def of(cls, responses: "Responses", index: int) -> "RowShard":
        """Return the product of a shard; sizes: rows, units, targets."""
        sizes = responses.shard_size, responses.design.units, responses.targets
        return cls(responses.reference(index), responses.folder, index, responses.identity, sizes)

    def check(self, store: ObjectStore) -> None:
        key = self.reference.record
        try:
            shard = read_shard(store, self.folder, self.index, self.identity)
        except DamagedObject:
            read_checked(store, key, self.identity)  # tells a foreign shard from a damaged one
            raise
        rows, units, targets = self.sizes
        expected = rows, units, targets, self.index * rows
        found = *shard.masks.shape, shard.margins.shape[1], shard.first
        if found != expected:
            raise DamagedObject(
                f"{store.url(key)}: rows, units, targets and first row {found}, expected {expected}", keys=(key,)
            )


@dataclass(frozen=True)
class Matrix:
    """The consolidated matrix of the first rows: a record, and the group of arrays that it names.

    identity: of the responses. sizes: rows, units, targets.
    """

    reference: Reference
    identity: Mapping[str, Any]
    sizes: tuple[int, int, int]

    def lacking(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        if self.reference.record not in keys:
            return (self.reference.record,)
        try:
            matrix = MarginMatrix.open(store, self.reference.key)
        except DamagedObject:
            return (self.reference.record,)
        wanted = (f"{matrix.group}/{name}" for name in matrix.record["crc32c"])
        return tuple(key for key in wanted if key not in keys)

    def objects(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        if self.reference.record not in keys:
            return ()
        try:
            matrix = MarginMatrix.open(store, self.reference.key)
        except DamagedObject:  # it names no group: every group beside it is its own or of no use
            beside = sorted(key for key in keys if key.startswith(f"{self.reference.key}.") and ".zarr/" in key)
            return (self.reference.record, *beside)
        named = (f"{matrix.group}/{name}" for name in sorted(matrix.record["crc32c"]))
        return (self.reference.record, *(key for key in named if key in keys))

    def check(self, store: ObjectStore) -> None:
        matrix = MarginMatrix.open(store, self.reference.key)
        rows, units, targets = self.sizes
        expected = {"identity": {"training": self.identity}, "models": rows, "n_train": units, "n_targets": targets}
        found = {name: matrix.record.get(name) for name in expected}
        check_same(store, self.reference.record, expected, found)
        check_matrix(matrix)


@dataclass(frozen=True)
class Identified(OneObject):
    """A record that holds the whole identity of what it names, such as training.json."""

    identity: Mapping[str, Any]

    def check(self, store: ObjectStore) -> None:
        key = self.reference.record
        check_same(store, key, self.identity, read_record(store, key).get("identity"))
