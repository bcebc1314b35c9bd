"""Objects in a study's folders that the study does not need: those that something explains, and strays."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from modeldiff_core.errors import DamagedObject
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.store import ObjectStore, read_record, shard_key

DIGEST = r"[0-9a-f]{8}"
SHARD = re.compile(r"(?P<kind>subsets|ensemble)/shards/(?P<index>\d{6,})\.safetensors")
GROUP = re.compile(rf"(?P<group>(?P<matrix>margins-{DIGEST})\.{DIGEST}\.zarr)/(?P<part>.*)")
CHUNK = re.compile(r"zarr\.json|(margins|masks)/(zarr\.json|c/\d+/\d+)")
BLOCK = re.compile(rf"(?P<folder>datamodels-(?P<digest>{DIGEST}))/targets-\d{{6,}}-\d{{6,}}\.safetensors")
RECORDS = re.compile(
    rf"training\.json|probes/[a-z]+-{DIGEST}\.json|(margins|scores)-{DIGEST}\.json|"
    rf"datamodels-{DIGEST}/record\.json|effects-{DIGEST}\.safetensors"
)
COMPARED = re.compile(
    r"study\.json|summary\.json|effects\.parquet|report/index\.html|report/figures/[a-z0-9-]+\.(png|svg)"
)
NULL = re.compile(r"\d{5}\.safetensors")


@dataclass(frozen=True)
class Stray:
    """Something that nothing explains: one object, or all of a group that no record completes."""

    key: str
    why: str
    objects: tuple[str, ...]


@dataclass(frozen=True)
class Loose:
    """An object that another study may need, so it stays as long as it is whole.

    A shard beyond those wanted (`kind`, `shard`), or a block of datamodels whose record is not written yet, which
    holds the digest that its folder's name begins with.
    """

    key: str
    kind: str = ""
    shard: int | None = None
    digest: str = ""


def unexplained(
    store: ObjectStore, comparison: Comparison, keys: frozenset[str], needed: set[str]
) -> Iterator[Stray | Loose]:
    """Strays and loose objects among the keys of the study's folders. needed: keys that are checked anyway."""
    rest = sorted(keys - needed)
    for training in {training.prefix: training for training in comparison.trainings}.values():
        within = [key for key in rest if key.startswith(f"{training.prefix}/")]
        yield from _of_training(store, training.prefix, within, keys)
    pair = comparison.pair
    for key in rest:
        name = key.removeprefix(f"{comparison.folder}/")
        block = key.removeprefix(f"{pair.null_block(0).key}/")
        if name != key:
            if not COMPARED.fullmatch(name):
                yield _unknown(key)
        elif block != key:
            if not NULL.fullmatch(block):
                yield _unknown(key)
        elif key.startswith(pair.directions.key) and key != pair.directions.record:
            yield _unknown(key)


def _of_training(store: ObjectStore, prefix: str, within: list[str], keys: frozenset[str]) -> Iterator[Stray | Loose]:
    unfinished: dict[str, list[str]] = {}
    groups: dict[str, str | None] = {}
    named: dict[str, frozenset[str] | None] = {}
    for key in within:
        name = key.removeprefix(f"{prefix}/")
        if match := SHARD.fullmatch(name):
            index = int(match["index"])
            if shard_key(f"{prefix}/{match['kind']}", index) == key:
                yield Loose(key, match["kind"], index)
            else:
                yield _unknown(key)
        elif match := GROUP.fullmatch(name):
            record = f"{prefix}/{match['matrix']}.json"
            if record not in groups:
                groups[record] = _group_named(store, record) if record in keys else ""
            if groups[record] not in (None, match["group"]):
                unfinished.setdefault(f"{prefix}/{match['group']}", []).append(key)
            elif not CHUNK.fullmatch(match["part"]):
                yield _unknown(key)
        elif match := BLOCK.fullmatch(name):
            folder = f"{prefix}/{match['folder']}"
            if folder not in named:
                named[folder] = _blocks_named(store, folder) if f"{folder}/record.json" in keys else None
            known = named[folder]
            if known is None:
                yield Loose(key, digest=match["digest"])
            elif key not in known:
                yield Stray(key, "is none of the blocks that the record of these datamodels names", (key,))
        elif not RECORDS.fullmatch(name):
            yield _unknown(key)
    for group, parts in unfinished.items():
        why = f"no record names these arrays of a matrix ({len(parts)} objects)"
        yield Stray(group, why, tuple(parts))


def _group_named(store: ObjectStore, record: str) -> str | None:
    """The group that a matrix's record names; None if it cannot be read, so that nothing is given up for it."""
    try:
        return str(read_record(store, record)["group"])
    except (DamagedObject, KeyError):
        return None


def _blocks_named(store: ObjectStore, folder: str) -> frozenset[str] | None:
    """The blocks of complete datamodels; None if the record cannot be read, so that no block is given up for it."""
    try:
        return frozenset(read_record(store, f"{folder}/record.json")["blocks"])
    except (DamagedObject, KeyError, TypeError):
        return None


def _unknown(key: str) -> Stray:
    return Stray(key, "nothing of that name belongs here", (key,))
