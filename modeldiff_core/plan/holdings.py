"""What a store holds: finished studies with what they need, and what none of them needs."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from modeldiff_core.store import ObjectStore
from modeldiff_core.store.objects import Listed

STUDIES = "comparisons", "components", "leagues", "sweeps"
"""Folders that hold a folder for each study."""
SUMMARY = "summary.json"
TRAININGS, DATA = "trainings", "data"


@dataclass(frozen=True)
class Held:
    """A folder or an object of a store.

    Attributes:
        key: Its key; of a folder its prefix.
        bytes: Its size.
        written: When the last of its objects was written, in seconds since 1970; infinite if unknown.
        needs: Keys of what it needs: of a finished study trainings and data, of a training data.
    """

    key: str
    bytes: int
    written: float
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Holdings:
    """What a store holds.

    Attributes:
        studies: Finished studies, with the trainings that they name.
        shared: Trainings and given data, by key.
        bytes: Size of everything.
    """

    studies: tuple[Held, ...]
    shared: Mapping[str, Held]
    bytes: int

    @property
    def unneeded(self) -> tuple[Held, ...]:
        """Trainings that no finished study names, and data that no training names.

        A study that is still being made may need such trainings, too.
        """
        needed = {key for study in self.studies for key in study.needs}
        needed |= {key for held in self.shared.values() for key in held.needs}
        return tuple(held for key, held in sorted(self.shared.items()) if key not in needed)


def holdings(store: ObjectStore) -> Holdings:
    """Return what a store holds, from one listing and the records of its studies."""
    listed = store.listing("")
    folders: dict[str, dict[str, Listed]] = {}
    for key, one in listed.items():
        folders.setdefault(_unit(key), {})[key] = one
    shared = {
        unit: _held(unit, objects) for unit, objects in folders.items() if unit.split("/")[0] in (TRAININGS, DATA)
    }
    named = {unit: _text(store, objects) for unit, objects in folders.items() if unit in shared}
    for unit, text in named.items():
        given = tuple(key for key in shared if key.startswith(DATA) and _digest(key) in text)
        shared[unit] = replace(shared[unit], needs=given)
    studies = []
    for unit, objects in sorted(folders.items()):
        if unit.split("/")[0] in STUDIES and f"{unit}/{SUMMARY}" in objects:
            text = _text(store, objects)
            needs = {key for key in shared if key.startswith(TRAININGS) and key in text}
            data = {key for one in needs for key in shared[one].needs}
            held = _held(unit, objects)
            studies.append(Held(unit, held.bytes, held.written, tuple(sorted(needs | data))))
    return Holdings(tuple(studies), shared, sum(one.size for one in listed.values()))


def remove(store: ObjectStore, held: Held) -> int:
    """Delete a folder or an object and return how many objects it had."""
    keys = [key for key in store.sizes(held.key.rpartition("/")[0]) if _unit(key) == held.key]
    for key in sorted(keys, key=lambda key: key.endswith((".json", ".safetensors"))):
        store.delete(key)
    return len(keys)


def _unit(key: str) -> str:
    """Return the first two parts of a key: a training, a study, an object of the data."""
    return "/".join(key.split("/")[:2])


def _digest(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]


def _held(unit: str, objects: Mapping[str, Listed]) -> Held:
    written = [math.inf if one.written is None else one.written for one in objects.values()]
    return Held(unit, sum(one.size for one in objects.values()), max(written))


def _text(store: ObjectStore, objects: Mapping[str, Listed]) -> str:
    """Return the text of a unit's own records, in which keys are named."""
    found = []
    for key in objects:
        if key.count("/") == 2 and key.endswith(".json"):
            try:
                found.append(json.dumps(json.loads(store.read(key))))
            except (FileNotFoundError, ValueError):
                continue
    return "\n".join(found)
