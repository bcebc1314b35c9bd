"""What a store holds of a plan is known from one listing of each folder, however many shards there are."""

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from modeldiff_core.experiments.compare import Compare
from modeldiff_core.plan import Outcome, RunFailed, Step, Survey, Wave, run, survey
from modeldiff_core.store import ObjectStore, StoreSettings, shard_key
from tests.modeldiff_core.stages.studies import TINY, tiny


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every look-up and listing that a store is asked for."""
    asked: list[str] = []
    for name in ("listing", "exists", "read"):
        method = getattr(ObjectStore, name)

        def spy(self: ObjectStore, key: str, name: str = name, method: object = method) -> object:
            asked.append(f"{name} {key}")
            return method(self, key)  # type: ignore[operator]

        monkeypatch.setattr(ObjectStore, name, spy)
    return asked


def shards(found: Survey, folder: str, state: str) -> set[int]:
    """Numbers of the shards in a folder that are in a state."""
    keys = [known.step.reference.record for known in found.steps if known.state == state]
    return {int(Path(key).stem) for key in keys if key.startswith(f"{folder}/shards/")}


@pytest.mark.parametrize(
    ("kind", "count"), [("file", 1_000), pytest.param("memory", 10_000, marks=pytest.mark.nightly)]
)
def test_thousands_of_shards_are_counted_from_one_listing_a_folder(
    tmp_path: Path, asked: list[str], kind: str, count: int
) -> None:
    left_out = {0, 17, count // 2, count - 1}
    comparison = tiny(subsets={**TINY["subsets"], "shard_size": 1, "models": count})
    a, b = comparison.trainings
    store = ObjectStore(StoreSettings(str(tmp_path) if kind == "file" else f"memory://{uuid.uuid4().hex}"))
    store.write(shard_key(b.subsets, 5), b"")
    store.write(f"{a.prefix}/training.json", b"")
    store.write(shard_key(a.subsets, 1), b"")
    folder = store.path(f"{a.subsets}/shards")
    for index in set(range(count + 3)) - left_out:  # names alone count, and the last three are not wanted
        store.fs.touch(f"{folder}/{index:06d}.safetensors")
    store.write(comparison.pair.directions.record, b"")
    started = time.process_time()
    found = survey(Compare(comparison), store)
    seconds = time.process_time() - started  # other processes of this machine do not count
    listings = [line for line in asked if line.startswith("listing ")]
    assert sorted(listings) == sorted(f"listing {name}" for name in (a.prefix, b.prefix, "comparisons", "grams"))
    assert len(asked) < 20, "what later steps are made of is read, no shard is"
    assert not any("/shards/" in line for line in asked)
    assert shards(found, a.subsets, "missing") == left_out
    assert len(shards(found, a.subsets, "done")) == count - len(left_out)
    assert shards(found, b.subsets, "done") == {5}
    assert shards(found, b.ensemble, "missing") == {0, 1}
    done = {known.step.name for known in found.steps if known.state == "done" and known.step.memoized}
    assert done == {"tiny residual directions"}
    assert found.awaits.keys() == {"counting masks", "subpopulations", "search", "confirmation"}
    assert not found.complete
    assert seconds < 20, "10,000 objects looked up one by one take longer"


def test_a_run_lists_each_folder_once_before_it_trains(tmp_path: Path, asked: list[str]) -> None:
    comparison, store = tiny(), ObjectStore(StoreSettings(str(tmp_path)))
    store.write(shard_key(comparison.trainings[1].ensemble, 1), b"")
    submitted: list[tuple[list[str], list[str]]] = []

    def submit(
        wave: Wave, steps: Sequence[Step], done: Callable[[Step], None], complete: Sequence[Step] = ()
    ) -> Outcome:
        submitted.append(([step.name for step in steps], list(asked)))
        return Outcome({step.name: RuntimeError("nothing is trained here") for step in steps})

    with pytest.raises(RunFailed, match="11 tasks failed; 33 that need their results were not tried"):
        run(Compare(comparison), store, submit)
    names, before = submitted[0]
    assert len([name for name in names if "shard" in name]) == 2 * (3 + 2) - 1
    assert "tiny long ensemble shard 1" not in names
    assert len(set(before)) == len(before), "nothing is asked for twice"
    assert all(line.startswith("listing ") for line in before), "no shard is looked up by itself"
    assert {f"listing {training.prefix}" for training in comparison.trainings} <= set(before)


def test_the_same_algorithm_on_both_sides_is_listed_and_counted_once(tmp_path: Path, asked: list[str]) -> None:
    comparison, store = tiny(algorithm_b=TINY["algorithm_a"]), ObjectStore(StoreSettings(str(tmp_path)))
    training = comparison.trainings[0]
    store.write(shard_key(training.subsets, 2), b"")
    found = survey(Compare(comparison), store)
    assert shards(found, training.subsets, "done") == {2}
    assert shards(found, training.subsets, "missing") == {0, 1}
    assert shards(found, training.ensemble, "missing") == {0, 1}
    assert len([known for known in found.steps if "shard" in known.step.name]) == 5
    listings = [line for line in asked if line.startswith("listing ")]
    assert sorted(listings) == sorted(f"listing {name}" for name in (training.prefix, "comparisons", "grams"))
