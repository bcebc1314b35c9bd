"""Adaptive rounds end in a plain study, are replayed from the store alone, and mend what is lost in between."""

import hashlib
from pathlib import Path
from typing import Any

from modeldiff_core.identity import plain
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.curve import Curve, follow_curve, read_curve
from modeldiff_core.stages.rounds import current_round, ending
from modeldiff_core.stages.train import train_subset_shard
from modeldiff_core.store import ObjectStore, shard_key
from modeldiff_core.study import shards_of
from tests.modeldiff_core.stages.studies import TINY, local, tiny

DATASET = {**TINY["dataset"], "n_train": 30}
SUBSETS = {**TINY["subsets"], "shard_size": 10, "models": 120}


def grow(store: ObjectStore, comparison: Comparison) -> tuple[Comparison, int]:
    """Train rounds until they end; gives the study that they end with and how many there were."""
    settings: Any = plain(store.settings)
    rounds = 0
    while not (now := current_round(store, comparison)).last:
        rounds += 1
        models = now.comparison.study.subsets.models
        for training in now.comparison.trainings:
            for index in range(shards_of(models, training.shard_size)):
                train_subset_shard(settings, training.to_json(), index, {"device": "cpu", "stack": 10})
            follow_curve(settings, Curve.of(now.comparison.study, training).to_json(), models)
    return now.comparison, rounds


def digests(store: ObjectStore) -> dict[str, str]:
    return {key: hashlib.sha256(store.read(key)).hexdigest() for key in store.sizes("trainings") if "/curve-" in key}


def adaptive(least_gain: float) -> Comparison:
    return tiny(
        dataset=DATASET, subsets={**SUBSETS, "adaptive": True, "rounds": {"least_gain": least_gain, "targets": 20}}
    )


def test_rounds_end_in_the_plain_study_of_as_many_models(tmp_path: Path) -> None:
    store = local(tmp_path)
    ended, rounds = grow(store, adaptive(0.9))
    models = ended.study.subsets.models
    assert rounds == 1
    assert 30 < models < 120
    assert ending(adaptive(0.9).study.subsets, models) == (
        f"rounds ended at {models} of at most 120 models: 1.2 times as many would raise neither score by 0.9"
    )
    alone = tiny(dataset=DATASET, subsets={**SUBSETS, "models": models, "rounds": {"targets": 20}})
    assert ended.study == alone.study
    assert ended.digest == alone.digest
    plainly = local(tmp_path / "plain")
    settings: Any = plain(plainly.settings)
    for training in alone.trainings:
        for index in range(shards_of(models, training.shard_size)):
            train_subset_shard(settings, training.to_json(), index, {"device": "cpu", "stack": 10})
        follow_curve(settings, Curve.of(alone.study, training).to_json(), models)
    assert digests(plainly) == digests(store)


def test_the_budget_ends_rounds_that_still_gain(tmp_path: Path) -> None:
    ended, rounds = grow(local(tmp_path), adaptive(1e-9))
    curve = read_curve(local(tmp_path), Curve.of(ended.study, ended.trainings[0]), 120)
    assert curve is not None
    assert rounds > 1
    words = ending(adaptive(1e-9).study.subsets, ended.study.subsets.models)
    assert words == "rounds ended at all of the 120 models that subsets.models allows"
    assert curve.means[-1] > curve.means[0] + 0.05, "more models give a higher score"


def test_a_lost_point_is_made_again_and_a_damaged_shard_is_named(tmp_path: Path) -> None:
    store, comparison = local(tmp_path), adaptive(0.9)
    ended, _ = grow(store, comparison)
    before = digests(store)
    curve = Curve.of(ended.study, ended.trainings[0])
    sizes = curve.sizes(ended.study.subsets.models)
    for size in sizes[2:]:
        store.delete(curve.point(size).record)
    assert not current_round(store, comparison).last
    settings: Any = plain(store.settings)
    key = shard_key(ended.trainings[0].subsets, 1)
    shard = store.read(key)
    store.write(key, shard[:-1] + bytes([shard[-1] ^ 1]))
    named = follow_curve(settings, curve.to_json(), sizes[-1])["damaged"]
    assert list(named) == ["1"]
    assert not store.exists(key)
    again, _ = grow(store, comparison)
    assert again.study == ended.study
    assert digests(store) == before
