"""What a store holds of a study is known from one listing of each folder, however many shards there are."""

import time
import uuid
from pathlib import Path

import pytest

from modeldiff_core.stages.inventory import held, results, shard_sets, shard_sets_among
from modeldiff_core.store import ObjectStore, StoreSettings, shard_key
from tests.modeldiff_core.stages.studies import TINY, tiny

SHARDS = 10_000
LEFT_OUT = {0, 17, 4_711, 9_999}


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every look-up and listing that a store is asked for."""
    asked: list[str] = []
    for name in ("listing", "exists", "read"):
        method = getattr(ObjectStore, name)

        def spy(self: ObjectStore, key: str, name: str = name, method: object = method) -> object:
            asked.append(f"{name} {key}")
            return method(self, key)  # type: ignore[operator]

        monkeypatch.setattr(ObjectStore, name, spy)
    return asked


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_ten_thousand_shards_are_counted_from_one_listing_a_folder(
    tmp_path: Path, listings: list[str], kind: str
) -> None:
    comparison = tiny(subsets={**TINY["subsets"], "shard_size": 1, "models": SHARDS})
    a, b = comparison.trainings
    store = ObjectStore(StoreSettings(str(tmp_path) if kind == "file" else f"memory://{uuid.uuid4().hex}"))
    store.write(shard_key(b.subsets, 5), b"")
    store.write(f"{a.prefix}/training.json", b"")
    store.write(shard_key(a.subsets, 1), b"")
    folder = store.path(f"{a.subsets}/shards")
    for index in set(range(SHARDS + 3)) - LEFT_OUT:  # names alone count, and the last three are not wanted
        store.fs.touch(f"{folder}/{index:06d}.safetensors")
    store.write(comparison.pair.directions.record, b"")
    started = time.perf_counter()
    keys = held(store, comparison)
    sets = {(s.label, s.kind): s for s in shard_sets_among(keys, comparison)}
    complete = {name for name, reference in results(comparison).items() if reference.record in keys}
    seconds = time.perf_counter() - started
    assert sorted(listings) == sorted([f"listing {a.prefix}", f"listing {b.prefix}", "listing comparisons"])
    assert set(sets["a", "subsets"].missing) == LEFT_OUT
    assert len(sets["a", "subsets"].done) == SHARDS - len(LEFT_OUT)
    assert sets["b", "subsets"].done == {5}
    assert sets["b", "ensemble"].missing == [0, 1]
    assert complete == {"directions"}
    assert seconds < 20, "10,000 objects looked up one by one take longer"


def test_a_run_lists_each_folder_of_shards_once(tmp_path: Path, listings: list[str]) -> None:
    comparison, store = tiny(), ObjectStore(StoreSettings(str(tmp_path)))
    store.write(shard_key(comparison.trainings[1].ensemble, 1), b"")
    sets = shard_sets(store, comparison)
    assert [len(s.done) for s in sets] == [0, 0, 0, 1]
    folders = [f for t in comparison.trainings for f in (t.subsets, t.ensemble)]
    assert sorted(listings) == sorted(f"listing {folder}/shards" for folder in folders)


def test_the_same_algorithm_on_both_sides_is_listed_once(tmp_path: Path, listings: list[str]) -> None:
    comparison, store = tiny(algorithm_b=TINY["algorithm_a"]), ObjectStore(StoreSettings(str(tmp_path)))
    prefix = comparison.trainings[0].prefix
    store.write(shard_key(f"{prefix}/subsets", 2), b"")
    keys = held(store, comparison)
    assert [sorted(s.done) for s in shard_sets_among(keys, comparison)] == [[2], [], [2], []]
    assert sorted(listings) == sorted([f"listing {prefix}", "listing comparisons"])
