"""Products: what a step leaves in the store, how to see that it is complete, and how to read all of it and check it."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import differences
from modeldiff_core.plan.reference import Reference, refer
from modeldiff_core.store import ObjectStore, TensorObject, read_record, read_tensors, write_tensors
from modeldiff_core.store.tensors import Arrays


class Foreign(DamagedObject):
    """An intact object that was made by another configuration than its key says."""


@dataclass(frozen=True)
class Array:
    """A stored array: its name, and its axes with their sizes, such as ``{"targets": 797, "train": 1000}``.

    finite: whether every value has to be finite.
    """

    name: str
    axes: Mapping[str, int]
    finite: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of its axes."""
        return tuple(self.axes.values())


@runtime_checkable
class Product(Protocol):
    """A result in the store."""

    @property
    def reference(self) -> Reference:
        """Where it is; its record is written last."""
        ...

    def lacking(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        """Return the keys of its objects that are not there; nothing if it is complete. keys: all that are there."""
        ...

    def objects(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        """Return the keys of its objects that are there, the record first, so that they are deleted in that order."""
        ...

    def check(self, store: ObjectStore) -> None:
        """Read all of it; raises Foreign, DamagedObject or FileNotFoundError."""
        ...


@dataclass(frozen=True)
class OneObject:
    """A product that is one object: the record of its reference."""

    reference: Reference

    def lacking(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        return () if self.reference.record in keys else (self.reference.record,)

    def objects(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        return (self.reference.record,) if self.reference.record in keys else ()


@dataclass(frozen=True)
class Tensors(OneObject):
    """Named arrays in one object, whose header holds an identity.

    Attributes:
        identity: What the header's identity has to be.
        arrays: Arrays that have to be there with these shapes; others may be.
        all_finite: Whether arrays that are not listed have to be finite too.

    """

    identity: Mapping[str, object] = field(default_factory=dict)
    arrays: tuple[Array, ...] = ()
    all_finite: bool = True

    @classmethod
    def of(cls, folder: str, name: str, identity: object, *arrays: Array) -> "Tensors":
        """Return the object ``<folder>/<name>-<digest8>.safetensors`` of what this identity makes.

        Args:
            folder: Where it is.
            name: What it is called, in its header too.
            identity: Everything that decides its values.
            arrays: The arrays that have to be there.

        """
        reference = refer(folder, name, identity, record="{key}.safetensors")
        return cls(reference, {name: reference.digest}, arrays)

    def write(self, store: ObjectStore, arrays: Arrays, facts: Mapping[str, object] | None = None) -> None:
        """Put the arrays, with facts about them, in one step."""
        write_tensors(store, self.reference.record, TensorObject(arrays, self.identity, facts or {}))

    def read(self, store: ObjectStore) -> Arrays:
        """Return the arrays, checked; raises Foreign, DamagedObject or FileNotFoundError."""
        return read_checked(store, self.reference.record, self.identity, self.arrays, self.all_finite)

    def check(self, store: ObjectStore) -> None:
        self.read(store)


def read_checked(
    store: ObjectStore,
    key: str,
    identity: Mapping[str, object],
    arrays: tuple[Array, ...] = (),
    all_finite: bool = True,
) -> Arrays:
    """Return the arrays of an object after checking bytes, identity, shapes and finite values."""
    content = read_tensors(store, key)
    check_same(store, key, identity, content.identity)
    for array in arrays:
        shape = content.arrays[array.name].shape if array.name in content.arrays else None
        if shape != array.shape:
            raise DamagedObject(
                f"{store.url(key)}: {array.name} of shape {shape}, expected {array.shape} ({', '.join(array.axes)})",
                keys=(key,),
            )
    may_be_infinite = {array.name for array in arrays if not array.finite}
    wanted = content.arrays.keys() if all_finite else {array.name for array in arrays}
    for name in sorted(wanted - may_be_infinite):
        if not np.isfinite(content.arrays[name]).all():
            raise DamagedObject(f"{store.url(key)}: {name} holds values that are not finite", keys=(key,))
    return content.arrays


@dataclass(frozen=True)
class Record(OneObject):
    """A JSON record that holds the digest of what made it, under the name `field`."""

    def check(self, store: ObjectStore) -> None:
        read_digested(store, self.reference)


def read_digested(store: ObjectStore, reference: Reference) -> dict[str, Any]:
    """Return a record that holds the digest of its reference; raises Foreign if it holds another."""
    return digested(store, reference.record, reference.digest)


def digested(store: ObjectStore, key: str, expected: str) -> dict[str, Any]:
    """Return the record at a key; raises Foreign if its ``digest`` is not the expected one."""
    record = read_record(store, key)
    if record.get("digest") != expected:
        raise Foreign(f"{store.url(key)}: digest {record.get('digest')}, expected {expected}", keys=(key,))
    return record


@dataclass(frozen=True)
class Bundle:
    """Objects that one step writes together, the record last.

    others: keys of the other objects. checks: what each of them has to be, by key; those without are read only.
    """

    reference: Reference
    others: tuple[str, ...]
    checks: Mapping[str, Callable[[ObjectStore, str], object]] = field(default_factory=dict)

    def lacking(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        return tuple(key for key in (*self.others, self.reference.record) if key not in keys)

    def objects(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        return tuple(key for key in (self.reference.record, *self.others) if key in keys)

    def check(self, store: ObjectStore) -> None:
        for key in self.others:
            self.checks.get(key, _read)(store, key)
        read_digested(store, self.reference)


def _read(store: ObjectStore, key: str) -> object:
    return store.read(key)


@dataclass(frozen=True)
class Files:
    """A folder of files with a record of their checksums, and a page that is written last.

    reference: its record is the page. sums: key of the record of checksums, which names the files of its own folder.
    """

    reference: Reference
    sums: str

    @property
    def folder(self) -> str:
        """The folder of the files."""
        return self.sums.rpartition("/")[0]

    def named(self, store: ObjectStore) -> dict[str, str]:
        """Return the SHA-256 of each file by its key; raises Foreign, DamagedObject or FileNotFoundError."""
        sums: dict[str, str] = digested(store, self.sums, self.reference.digest)["sha256"]
        return {f"{self.folder}/{name}": sha for name, sha in sums.items()}

    def lacking(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        if self.sums not in keys:
            return (self.sums,)
        try:
            wanted = sorted({*self.named(store), self.reference.record})
        except (DamagedObject, KeyError):
            return (self.sums,)
        return tuple(key for key in wanted if key not in keys)

    def objects(self, store: ObjectStore, keys: Collection[str]) -> tuple[str, ...]:
        try:
            files = sorted(self.named(store)) if self.sums in keys else []
        except (DamagedObject, KeyError):
            files = []
        ordered = dict.fromkeys((self.reference.record, self.sums, *files))
        return tuple(key for key in ordered if key in keys)

    def check(self, store: ObjectStore) -> None:
        for key, expected in self.named(store).items():
            if hashlib.sha256(store.read(key)).hexdigest() != expected:
                raise DamagedObject(f"{store.url(key)}: does not match its checksum", keys=(key,))


def check_same(store: ObjectStore, key: str, expected: object, found: object) -> None:
    """Raise Foreign, with every field that differs, unless two configurations are the same."""
    explained = differences(expected, found)
    if explained:
        raise Foreign(f"{store.url(key)}: made by another configuration ({'; '.join(explained)})", keys=(key,))
