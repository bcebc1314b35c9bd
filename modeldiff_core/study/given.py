"""Examples that were given to the library as arrays, kept in the store by the digest of their values."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.examples import Target
from modeldiff_core.data.kinds import PICTURES, kind_record, restored_kind
from modeldiff_core.data.notes import Notes
from modeldiff_core.errors import DamagedObject, DataError
from modeldiff_core.identity import plain
from modeldiff_core.store import ObjectStore, StoreSettings, TensorObject, read_tensors, write_tensors

KIND = "given"
FOLDER = "data"
KEPT = 4
"""Data sets that a process keeps beside those that were loaded."""

_here: "OrderedDict[str, Dataset]" = OrderedDict()


@dataclass(frozen=True)
class Given:
    """Arrays that a user handed over, as the store keeps them.

    Attributes:
        fingerprint: Of the data set's values.
        root: The store, a folder or an fsspec URL.
        endpoint: Of the store.
        region: Of the store.
        profile: Of the store.
    """

    fingerprint: str
    root: str
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None

    def load(self) -> Dataset:
        """Return the examples; raises DataError where the store does not hold them."""
        if self.fingerprint in _here:
            return _here[self.fingerprint]
        store = ObjectStore(StoreSettings(self.root, self.endpoint, self.region, self.profile))
        key = key_of(self.fingerprint)
        try:
            stored = read_tensors(store, key, identity_of(self.fingerprint))
        except FileNotFoundError:
            raise DataError(f"{store.url(key)}: the store does not hold these examples (any more)") from None
        except DamagedObject as error:
            raise DataError(f"{error}; give the arrays again") from error
        facts: Any = stored.facts
        kind = restored_kind(facts["kind"]) if "kind" in facts else PICTURES
        parts = [
            Examples(
                np.asarray(stored.arrays[f"images_{part}"]), np.asarray(stored.arrays[f"labels_{part}"]), kind=kind
            )
            for part in ("train", "test")
        ]
        target = Target(**facts["target"]) if "target" in facts else None
        data = Dataset(parts[0], parts[1], tuple(map(str, facts["classes"])), target=target)
        keep(data)
        return data


def keep(data: Dataset) -> None:
    """Keep a data set in this process."""
    _here[data.fingerprint] = data
    while len(_here) > KEPT:
        _here.popitem(last=False)


def write(store: ObjectStore, data: Dataset, notes: Notes | None = None) -> str:
    """Write a data set into a store unless it is there, and return its fingerprint."""
    fingerprint = data.fingerprint
    keep(data if notes is None else replace(data, notes=notes))
    key = key_of(fingerprint)
    if not store.exists(key):
        arrays = {
            f"{name}_{part}": array
            for part, examples in (("train", data.train), ("test", data.test))
            for name, array in (("images", examples.images), ("labels", examples.labels))
        }
        facts: dict[str, Any] = {"classes": list(data.classes)}
        if data.kind != PICTURES:
            facts["kind"] = plain(kind_record(data.kind))
        if data.target is not None:
            facts["target"] = plain(data.target)
        write_tensors(store, key, TensorObject(arrays, identity_of(fingerprint), facts))
    return fingerprint


def key_of(fingerprint: str) -> str:
    """Return where a data set is kept in a store."""
    return f"{FOLDER}/{fingerprint[:16]}.safetensors"


def identity_of(fingerprint: str) -> dict[str, str]:
    """Return what tells its object from others."""
    return {"kind": KIND, "fingerprint": fingerprint}
