"""The pace of a training from the times of its shards: runs that paused, trainings shared, nothing to tell."""

import uuid
from pathlib import Path
from unittest.mock import patch

import pytest

from modeldiff_core.experiments.compare import Compare, Comparison
from modeldiff_core.plan import Survey, survey
from modeldiff_core.plan.speed import Pace, pace
from modeldiff_core.store import Listed, ObjectStore, StoreSettings, shard_key
from tests.modeldiff_core.stages.studies import TINY, tiny

COMPARISON = tiny(subsets={**TINY["subsets"], "shard_size": 10, "models": 1000})
A, B = COMPARISON.trainings


def at(times: dict[int, float | None], later: dict[int, float] | None = None) -> dict[str, Listed]:
    """A listing with shards of A, and later ones of B, that were written at these times."""
    return {
        shard_key(training.subsets, index): Listed(1, None if when is None else float(when))
        for training, own in ((A, times), (B, later or {}))
        for index, when in own.items()
    }


def surveyed(stored: dict[str, Listed], comparison: Comparison = COMPARISON) -> Survey:
    """What is known of a store whose listing says this."""

    def listing(store: ObjectStore, folder: str) -> dict[str, Listed]:
        return {key: listed for key, listed in stored.items() if key.startswith(f"{folder}/")}

    with patch.object(ObjectStore, "listing", listing):
        return survey(Compare(comparison), ObjectStore(StoreSettings(f"memory://{uuid.uuid4().hex}")))


def told(stored: dict[str, Listed], now: float) -> Pace | None:
    return pace(surveyed(stored), float(now))


def missing(stored: dict[str, Listed]) -> int:
    shards = [known for known in surveyed(stored).steps if "/shards/" in known.step.reference.record]
    assert len(shards) == 2 * (100 + 2)
    return sum(known.step.cost.units for known in shards if known.state == "missing")


def test_models_a_minute_and_the_time_left() -> None:
    stored = at({0: 100, 1: 106}, {0: 112, 7: 118})
    found = told(stored, 120)
    assert found is not None
    assert found.models_a_minute == pytest.approx(100)
    assert found.seconds_left == pytest.approx(missing(stored) / 100 * 60)
    assert (found.silent, found.paused) == (2, False)
    assert str(found).startswith("100 models a minute, about ")


def test_what_an_earlier_run_wrote_is_no_part_of_the_pace() -> None:
    stored = at({index: 1000 * index for index in range(5)}, {0: 90_000, 1: 90_006, 2: 90_012})
    found = told(stored, 90_012)
    assert found is not None
    assert found.models_a_minute == pytest.approx(100)


def test_a_run_that_is_gone_is_said_to_be() -> None:
    stored = at({0: 0, 1: 6, 2: 12})
    assert not told(stored, 40).paused  # type: ignore[union-attr]
    found = told(stored, 3612)
    assert found is not None
    assert found.paused
    assert str(found) == "nothing seems to be training: last shard 3600 s ago, at 100 models a minute before"


def test_a_store_whose_clock_is_ahead() -> None:
    found = told(at({0: 100, 1: 106}), 50)
    assert found is not None
    assert (found.silent, found.paused) == (0, False)


@pytest.mark.parametrize(
    "stored", [{}, at({0: 5}), at({0: 5, 1: 5}), at({0: None, 1: None})], ids=["none", "one", "at once", "no times"]
)
def test_nothing_can_be_said(stored: dict[str, Listed]) -> None:
    assert told(stored, 10) is None


def test_nothing_is_said_once_all_is_trained() -> None:
    everything = {
        shard_key(folder, index): Listed(1, float(index))
        for training in (A, B)
        for folder in (training.subsets, training.ensemble)
        for index in range(100)
    }
    assert missing(everything) == 0
    assert told(everything, 100.0) is None


def test_a_training_of_both_sides_counts_once() -> None:
    same = tiny(
        subsets={**TINY["subsets"], "shard_size": 10, "models": 1000},
        algorithm_b={**TINY["algorithm_a"], "name": "too"},
    )
    assert same.trainings[0].prefix == same.trainings[1].prefix == A.prefix
    found = pace(surveyed(at({0: 100, 1: 106}), same), 106.0)
    assert found is not None
    assert found.models_a_minute == pytest.approx(100)
    assert found.seconds_left == pytest.approx((1000 - 20 + 4) / 100 * 60)


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_store_tells_when_shards_were_written(tmp_path: Path, kind: str) -> None:
    store = ObjectStore(StoreSettings(str(tmp_path) if kind == "file" else f"memory://{uuid.uuid4().hex}"))
    for index in range(3):
        store.write(shard_key(A.subsets, index), b"x")
    keys = survey(Compare(COMPARISON), store).keys
    listed = [keys.about(shard_key(A.subsets, index)) for index in range(3)]
    times = [None if one is None else one.written for one in listed]
    assert None not in times
    assert times == sorted(times)  # type: ignore[type-var]
    assert times[0] > 1.7e9  # type: ignore[operator]
