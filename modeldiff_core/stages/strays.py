"""Objects in a study's folders that the study does not need: those that something explains, and strays."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from modeldiff_core.errors import DamagedObject
from modeldiff_core.stages.references import Reference
from modeldiff_core.store import MarginMatrix, ObjectStore, read_record, shard_key
from modeldiff_core.store.objects import PROBE_PREFIX

DIGEST = r"[0-9a-f]{8}"
SHARD = re.compile(r"(?P<kind>subsets|ensemble)/shards/(?P<index>\d{6,})\.safetensors")
GROUP = re.compile(rf"(?P<group>(?P<matrix>margins-{DIGEST})\.{DIGEST}\.zarr)/(?P<part>.*)")
BLOCK = re.compile(rf"(?P<folder>datamodels-(?P<digest>{DIGEST}))/targets-\d{{6,}}-\d{{6,}}\.safetensors")
RECORDS = re.compile(
    rf"training\.json|(margins|scores)-{DIGEST}\.json|datamodels-{DIGEST}/record\.json|effects-{DIGEST}\.safetensors"
    rf"|datamodels-{DIGEST}/targets-\d{{6,}}-\d{{6,}}\.time\.json|probes/[a-z]+-{DIGEST}\.json"
    rf"|curve-{DIGEST}/\d{{6,}}(\.weights)?\.safetensors|counterfactual-{DIGEST}\.safetensors"
)
DRAWN = re.compile(r"study\.json|[a-z0-9-]+\.html|figures/[a-z0-9-]+\.(png|svg)|tables/[a-z0-9-]+\.(csv|parquet)")
"""Files that a report may consist of, by their names in its folder."""
COMPARED = re.compile(
    rf"study\.json|summary\.json|effects\.parquet|directions\.csv|report/(files\.json|{DRAWN.pattern})"
    rf"|counterfactual-{DIGEST}\.json|counterfactual-{DIGEST}/(index\.html|scatter\.(png|svg))"
)
NULL = re.compile(r"\d{5}\.safetensors")


@dataclass(frozen=True)
class Folders:
    """Where the objects of a comparison stand: its trainings' folders, its own, its directions and its null."""

    trainings: tuple[str, ...]
    comparison: str
    directions: Reference
    null: str | None


@dataclass(frozen=True)
class Stray:
    """Something that nothing explains: one object, or all of a group that no record completes."""

    key: str
    why: str
    objects: tuple[str, ...]


@dataclass(frozen=True)
class Loose:
    """An object that another study may need, so it stays as long as it is whole.

    A shard beyond those wanted (`kind`, `shard`), a block of datamodels whose record is not written yet, which holds
    the digest that its folder's name begins with, or a result of another study's.
    """

    key: str
    kind: str = ""
    shard: int | None = None
    digest: str = ""


def unexplained(
    store: ObjectStore, folders: Folders, keys: frozenset[str], needed: set[str]
) -> Iterator[Stray | Loose]:
    """Strays and loose objects among the keys of a comparison's folders. needed: keys that are checked anyway."""
    rest = sorted(keys - needed)
    for prefix in dict.fromkeys(folders.trainings):
        yield from _of_training(store, prefix, [key for key in rest if key.startswith(f"{prefix}/")], keys)
    for key in rest:
        if key.startswith(PROBE_PREFIX):
            yield Stray(key, "was written to see whether the store can be used", (key,))
        elif key.startswith(f"{folders.comparison}/"):
            if not COMPARED.fullmatch(key.removeprefix(f"{folders.comparison}/")):
                yield _unknown(key)
        elif folders.null and key.startswith(f"{folders.null}/"):
            if not NULL.fullmatch(key.removeprefix(f"{folders.null}/")):
                yield _unknown(key)
        elif key.startswith(folders.directions.key) and key != folders.directions.record:
            yield _unknown(key)


def _of_training(store: ObjectStore, prefix: str, within: list[str], keys: frozenset[str]) -> Iterator[Stray | Loose]:
    unfinished: dict[str, list[str]] = {}
    matrices: dict[str, dict[str, Any] | None] = {}
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
            if record not in matrices:
                matrices[record] = _matrix_record(store, record) if record in keys else {}
            found = matrices[record]
            if found is not None and found.get("group") != match["group"]:
                unfinished.setdefault(f"{prefix}/{match['group']}", []).append(key)
            elif found is not None and match["part"] not in found["crc32c"]:
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
        elif RECORDS.fullmatch(name):
            yield Loose(key)
        else:
            yield _unknown(key)
    for group, parts in unfinished.items():
        why = f"no record names these arrays of a matrix ({len(parts)} objects)"
        yield Stray(group, why, tuple(parts))


def _matrix_record(store: ObjectStore, record: str) -> dict[str, Any] | None:
    """The record of a matrix; None if it cannot be read, so that nothing is given up for it."""
    try:
        return dict(MarginMatrix.open(store, record.removesuffix(".json")).record)
    except DamagedObject:
        return None


def _blocks_named(store: ObjectStore, folder: str) -> frozenset[str] | None:
    """The blocks of complete datamodels; None if the record cannot be read, so that no block is given up for it."""
    try:
        return frozenset(read_record(store, f"{folder}/record.json")["blocks"])
    except (DamagedObject, KeyError, TypeError):
        return None


def _unknown(key: str) -> Stray:
    return Stray(key, "nothing of that name belongs here", (key,))
