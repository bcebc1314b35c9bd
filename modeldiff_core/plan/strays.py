"""Objects in an experiment's folders that none of its steps makes: results of other studies, and strays.

Another study may keep results in the same training, so an object stays if it shows that it belongs where it is: it is
whole by its own checksum, and its name holds the digest of what made it, or a record that is complete names it.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import short_digest
from modeldiff_core.plan.products import Foreign
from modeldiff_core.store import ObjectStore, read_record, read_tensors
from modeldiff_core.store.objects import PROBE_PREFIX, TEMPORARY

UNKNOWN = "nothing of that name belongs here"


@dataclass(frozen=True)
class Stray:
    """Objects that nothing explains. kind: stray, damaged or foreign."""

    key: str
    kind: str
    why: str
    objects: tuple[str, ...]


def strays(store: ObjectStore, keys: Collection[str], rest: Collection[str]) -> Iterator[Stray]:
    """Yield what is wrong with the objects that no step makes.

    Args:
        store: The store.
        keys: Everything that is there.
        rest: Those of the keys that no step makes.

    """
    records = _Records(store, keys)
    unnamed: dict[str, list[str]] = {}
    for key in sorted(rest):
        if key.startswith(PROBE_PREFIX):
            yield Stray(key, "stray", "was written to see whether the store can be used", (key,))
            continue
        group, _, part = key.partition(".zarr/")
        if part:
            if (sums := records.arrays_of(f"{group}.zarr")) is None:
                unnamed.setdefault(f"{group}.zarr", []).append(key)
            elif part not in sums and sums:
                yield Stray(key, "stray", UNKNOWN, (key,))
            continue
        try:
            why = _unexplained(store, key, keys, records)
        except Foreign as error:
            yield Stray(key, "foreign", str(error), (key,))
        except DamagedObject as error:
            yield Stray(key, "damaged", str(error), (key,))
        else:
            if why:
                yield Stray(key, "stray", why, (key,))
    for group, parts in unnamed.items():
        yield Stray(group, "stray", f"no record names these arrays ({len(parts)} objects)", tuple(parts))


@dataclass
class _Records:
    """Records of wholes, each read once."""

    store: ObjectStore
    keys: Collection[str]
    known: dict[str, dict[str, Any] | None] = field(default_factory=dict)

    def read(self, key: str) -> dict[str, Any] | None:
        """Return a record, empty if it is damaged (so that nothing is given up for it), None if it is not there."""
        if key not in self.known:
            try:
                self.known[key] = read_record(self.store, key) if key in self.keys else None
            except DamagedObject:
                self.known[key] = {}
        return self.known[key]

    def arrays_of(self, group: str) -> Collection[str] | None:
        """Return the objects of a group of arrays; nothing where that is unclear, None if no record names the group."""
        record = self.read(f"{group.rpartition('.zarr')[0].rpartition('.')[0]}.json")
        if record is None or (record and record.get("group") != group.rpartition("/")[2]):
            return None
        found: dict[str, Any] = record.get("crc32c", {})
        return found.keys()


def _unexplained(store: ObjectStore, key: str, keys: Collection[str], records: _Records) -> str:
    """Return why an object does not belong where it is; nothing if it does. Raises DamagedObject or Foreign."""
    folder, _, name = key.rpartition("/")
    if name.endswith(TEMPORARY):
        return UNKNOWN
    if name.endswith(".time.json"):
        made = key.removesuffix(".time.json")
        return "" if any(f"{made}.{ending}" in keys for ending in ("safetensors", "json")) else UNKNOWN
    number = name.removesuffix(".safetensors")
    if number.isdigit() and number not in (f"{int(number):05d}", f"{int(number):06d}"):
        return UNKNOWN  # blocks of the null have five digits, shards and points of a curve six
    whole = _whole_of(folder, keys)
    if whole is not None:
        record = records.read(whole)
        named = _names(record or {}, key, folder)
        if named is False:
            return f"is none of the objects that {whole} names"
        if named:
            return "" if not name.endswith(".safetensors") else _of_tensors(store, key)
    if name.endswith(".safetensors"):
        return _of_tensors(store, key)
    if name.endswith(".json"):
        return _of_record(store, key)
    return UNKNOWN


def _whole_of(folder: str, keys: Collection[str]) -> str | None:
    """Return the record that a folder's objects are parts of, if there is one."""
    places = (
        f"{folder}/record.json",
        f"{folder}/files.json",
        f"{folder.rpartition('/')[0]}/files.json",
        f"{folder}.json",
    )
    return next((place for place in places if place in keys), None)


def _names(record: dict[str, Any], key: str, folder: str) -> bool | None:
    """Return whether a record names an object; None if it does not list its parts."""
    if "blocks" in record:
        return key in record["blocks"] or key.endswith("/record.json")
    if "sha256" in record:
        return any(key.endswith(f"/{name}") for name in record["sha256"]) or key.endswith("/files.json")
    if not record:
        return True  # it cannot be read: its parts are not given up for it
    return True if str(record.get("digest", "-"))[:8] in folder else None


def _of_tensors(store: ObjectStore, key: str) -> str:
    content = read_tensors(store, key)
    index = re.fullmatch(r"\d{6,}", key.rpartition("/")[2].removesuffix(".safetensors"))
    if "index" in content.facts and (index is None or int(index[0]) != content.facts["index"]):
        if index is None:
            return UNKNOWN
        raise DamagedObject(f"{store.url(key)}: holds shard {content.facts['index']}", keys=(key,))
    named = re.findall(r"-([0-9a-f]{8})(?=[./]|$)", key)
    made = {str(value)[:8] for value in content.identity.values()} | {short_digest(content.identity)}
    if "/curve-" in key or not named:
        return "" if named else UNKNOWN  # a point's digest is made of its curve's and the number of models
    if not made & set(named):
        raise Foreign(
            f"{store.url(key)}: made by another configuration, {json.dumps(content.identity)[:200]}", keys=(key,)
        )
    return ""


def _of_record(store: ObjectStore, key: str) -> str:
    record = read_record(store, key)
    digest = record.get("digest")
    if digest is not None and str(digest)[:8] not in key:
        raise Foreign(f"{store.url(key)}: made by another configuration, digest {digest}", keys=(key,))
    if "identity" in record and key.endswith("/training.json"):
        return "" if short_digest(record["identity"]) in key else UNKNOWN
    named = re.search(r"-[0-9a-f]{8}[./]", key)
    return "" if digest is not None or named else UNKNOWN
