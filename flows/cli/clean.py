"""``modeldiff clean``: what a store holds by study and size, and what no finished study needs."""

import sys
import time
from collections.abc import Sequence

from modeldiff_core.errors import ConfigError, meant
from modeldiff_core.plan.holdings import Held, Holdings, holdings, remove
from modeldiff_core.store import ObjectStore
from modeldiff_platform.flows.cli.compose import composed, parse_store
from modeldiff_platform.flows.cli.verbs import size

RECENT = 24 * 3600.0
"""Seconds after its last write in which something may belong to a study that is still being made."""


def clean(overrides: Sequence[str], remove: bool = False, forget: str | None = None) -> int:
    """Print what a store holds; with ``remove`` delete what no finished study needs.

    Args:
        overrides: Settings of the store.
        remove: Whether to delete trainings and data that no finished study names, a day after their last write.
        forget: A finished study that is deleted first, by its key or its name.
    """
    store = ObjectStore(parse_store(composed(overrides)["store"]))
    store.check()
    found = holdings(store)
    if forget is not None:
        _forget(store, found, forget)
        found = holdings(store)
    _show(found, store)
    unneeded = [held for held in found.unneeded if time.time() - held.written >= RECENT]
    recent = len(found.unneeded) - len(unneeded)
    if recent:
        print(f"{recent} of them written within a day: a run may still need them, and they are left alone")
    if not remove:
        if unneeded:
            print("--remove deletes what no finished study needs")
        return 0
    while unneeded:  # data are needed by nothing once their trainings are gone
        for held in unneeded:
            _delete(store, held)
        unneeded = [held for held in holdings(store).unneeded if time.time() - held.written >= RECENT]
    return 0


def _show(found: Holdings, store: ObjectStore) -> None:
    print(f"{store.settings.url}: {size(found.bytes) if found.bytes else 'nothing'}")
    for study in found.studies:
        needs = sum(found.shared[key].bytes for key in study.needs)
        print(f"  {study.key}: {size(study.bytes)}, with trainings and data of {size(needs)}")
        for key in study.needs:
            print(f"    {key}: {size(found.shared[key].bytes)}")
    if found.unneeded:
        print(f"needed by no finished study: {size(sum(held.bytes for held in found.unneeded))}")
        for held in found.unneeded:
            print(f"  {held.key}: {size(held.bytes)}")


def _forget(store: ObjectStore, found: Holdings, name: str) -> None:
    names = {study.key: study for study in found.studies}
    chosen = [study for key, study in names.items() if name in (key, key.rpartition("/")[2])]
    if not chosen:
        short = [key.rpartition("/")[2] for key in names]
        raise ConfigError("--forget", f"one of {', '.join(short) or 'no studies'}", name, meant(name, short))
    for study in chosen:
        _delete(store, study)


def _delete(store: ObjectStore, held: Held) -> None:
    count = remove(store, held)
    print(f"removed {held.key}: {count} objects, {size(held.bytes)}", file=sys.stderr)
