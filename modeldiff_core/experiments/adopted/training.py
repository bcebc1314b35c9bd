"""What an adoption makes: a training that nothing here can train, known by the checksums of what was adopted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from modeldiff_core.data import Dataset
from modeldiff_core.errors import ConfigError, DamagedObject
from modeldiff_core.identity import short_digest
from modeldiff_core.plan import Reference
from modeldiff_core.store import ObjectStore, read_record, write_record
from modeldiff_core.store.files import FileArray

VERSION = 1
LARGEST = 1e30
"""Largest margin or score that is adopted."""


@dataclass(frozen=True)
class Adopted:
    """An adopted training: names for people, and the checksums and sizes of what was adopted."""

    name: str
    dataset: Mapping[str, object]
    content: Mapping[str, object]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What decides every number of it."""
        return {"version": VERSION, "adopted": {"name": self.name, "dataset": self.dataset, **self.content}}

    @property
    def prefix(self) -> str:
        """Its folder in a store."""
        return f"trainings/{self.dataset['kind']}.adopted-{short_digest(self.identity)}"

    def write(self, store: ObjectStore) -> None:
        """Put training.json."""
        record = {"identity": self.identity, "algorithm_name": self.name, "dataset": self.dataset}
        write_record(store, f"{self.prefix}/training.json", record)


def is_sound(store: ObjectStore, reference: Reference, check: Callable[[], object]) -> bool:
    """Return whether what was adopted before is there and whole; if not, it is written again."""
    try:
        read_record(store, f"{reference.key.rsplit('/', 1)[0]}/training.json")
        check()
    except (DamagedObject, FileNotFoundError):
        return False
    return True


def check_size(largest: float, key: str, source: str) -> None:
    """Raise ConfigError for numbers whose sums float32 cannot hold; `largest` is the largest absolute one."""
    if largest > LARGEST:
        raise ConfigError(
            key,
            f"numbers of at most {LARGEST:g}, whose sums single precision holds",
            f"{source}: {largest:.3g}",
            "Divide those of both algorithms by the same power of two, which rounds nothing",
        )


def check_sizes(data: Dataset | None, n_train: int, n_targets: int, train_key: str, targets_key: str) -> None:
    """Raise ConfigError for sizes that a dataset does not have; the targets are the first of its test examples."""
    if data is None:
        return
    if n_train != len(data.train):
        raise ConfigError(train_key, f"a column for each of the dataset's {len(data.train)} training examples", n_train)
    if n_targets > len(data.test):
        raise ConfigError(targets_key, f"at most the dataset's {len(data.test)} test examples", n_targets)


def finite(
    array: FileArray, values: Shaped[np.ndarray, "rows columns"], rows: Int[np.ndarray, " rows"], key: str, what: str
) -> Float[np.ndarray, "rows columns"]:
    """Return values as float32; raises ConfigError that names the first row with others than finite ones.

    Args:
        array: Where they were read from.
        values: As they were read.
        rows: Their numbers.
        key: The configuration key that named the file.
        what: What a row is, for messages: model or target.
    """
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, np.float32)
    good = np.isfinite(values).all(axis=1)
    if not good.all():
        first = int(np.argmin(good))
        odd = values[first][~np.isfinite(values[first])]
        more = f", {len(good) - int(good.sum()):,} of {len(good):,} read so far do" if (~good).sum() > 1 else ""
        never = np.flatnonzero(~np.isfinite(values).any(axis=0))
        hint = "unfinished=leave_out leaves such models out and counts them" if what == "model" else ""
        if what == "model" and len(good) > 1 and len(never):
            hint = f"Target {never[0]} is finite for none of them: take such targets out of the margins of both sides"
        found = f"{array.source}: {what} {int(rows[first])} holds others ({odd[0]:g} {len(odd):,} times{more})"
        raise ConfigError(key, "finite values within float32", found, hint)
    return values
