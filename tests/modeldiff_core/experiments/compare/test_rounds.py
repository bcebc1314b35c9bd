"""Adaptive rounds end in a plain study, are replayed from the store alone, and mend what is lost in between."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest

from modeldiff_core.errors import DamagedObject
from modeldiff_core.experiments.compare import Compare, Comparison
from modeldiff_core.experiments.compare.rounds import current_round, ending
from modeldiff_core.plan import InProcess, Plan, Wave, run
from modeldiff_core.responses import SubsetModels, shards_of
from modeldiff_core.stages.curve import Curve, follow_curve, read_curve
from modeldiff_core.stages.shards import ShardSpec, make_shard
from modeldiff_core.store import ObjectStore, shard_key
from tests.modeldiff_core.stages.studies import EXECUTION, TINY, local, tiny

DATASET = {**TINY["dataset"], "n_train": 30}
SUBSETS = {**TINY["subsets"], "shard_size": 10, "models": 120}


def grow(store: ObjectStore, comparison: Comparison) -> tuple[Comparison, int]:
    """Train rounds until they end; gives the study that they end with and how many there were."""
    rounds = 0
    while not (now := current_round(store, comparison)).last:
        rounds += 1
        models = now.comparison.study.subsets.models
        for training in now.comparison.trainings:
            for index in range(shards_of(models, training.shard_size)):
                make_shard(store, ShardSpec(SubsetModels(training), index), EXECUTION)
            follow_curve(store, Curve.of(now.comparison.study, training).to(models))
    return now.comparison, rounds


def digests(store: ObjectStore) -> dict[str, str]:
    return {key: hashlib.sha256(store.read(key)).hexdigest() for key in store.sizes("trainings") if "/curve-" in key}


def adaptive(least_gain: float) -> Comparison:
    return tiny(
        dataset=DATASET, subsets={**SUBSETS, "adaptive": True, "rounds": {"least_gain": least_gain, "targets": 20}}
    )


@dataclass(frozen=True)
class Ended:
    """A store in which rounds ended early, the study that they ended with, and how many there were."""

    root: Path
    study: Comparison
    rounds: int


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Nobody writes to its store."""
    root = tmp_path_factory.mktemp("grown")
    return Ended(root, *grow(local(root), adaptive(0.9)))


def test_rounds_end_in_the_plain_study_of_as_many_models(grown: Ended, tmp_path: Path) -> None:
    store, ended, rounds = local(grown.root), grown.study, grown.rounds
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
    for training in alone.trainings:
        for index in range(shards_of(models, training.shard_size)):
            make_shard(plainly, ShardSpec(SubsetModels(training), index), EXECUTION)
        follow_curve(plainly, Curve.of(alone.study, training).to(models))
    assert digests(plainly) == digests(store)


def test_the_budget_ends_rounds_that_still_gain(tmp_path: Path) -> None:
    ended, rounds = grow(local(tmp_path), adaptive(1e-9))
    curve = read_curve(local(tmp_path), Curve.of(ended.study, ended.trainings[0]), 120)
    assert curve is not None
    assert rounds > 1
    words = ending(adaptive(1e-9).study.subsets, ended.study.subsets.models)
    assert words == "rounds ended at all of the 120 models that subsets.models allows"
    assert curve.means[-1] > curve.means[0] + 0.05, "more models give a higher score"


def test_a_lost_point_is_made_again_and_a_damaged_shard_is_named(grown: Ended, tmp_path: Path) -> None:
    shutil.copytree(grown.root, tmp_path / "store")
    store, comparison, ended = local(tmp_path / "store"), adaptive(0.9), grown.study
    before = digests(store)
    curve = Curve.of(ended.study, ended.trainings[0])
    sizes = curve.sizes(ended.study.subsets.models)
    for size in sizes[2:]:
        store.delete(curve.point(size).record)
    assert not current_round(store, comparison).last
    key = shard_key(ended.trainings[0].subsets, 1)
    shard = store.read(key)
    store.write(key, shard[:-1] + bytes([shard[-1] ^ 1]))
    with pytest.raises(DamagedObject) as caught:
        follow_curve(store, curve.to(sizes[-1]))
    assert caught.value.keys == (key,)
    store.delete(key)
    again, _ = grow(store, comparison)
    assert again.study == ended.study
    assert digests(store) == before


@dataclass(frozen=True)
class Rounds:
    """The rounds of an adaptive study without what follows them."""

    whole: Compare

    @property
    def folders(self) -> tuple[str, ...]:
        return self.whole.folders

    @property
    def shared(self) -> tuple[str, ...]:
        return self.whole.shared

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        return takewhile(lambda wave: wave.title != "gathering margins", self.whole.waves(store))


def test_the_plan_of_an_adaptive_study_grows_with_its_store_and_mends_it(grown: Ended, tmp_path: Path) -> None:
    by_hand, store, comparison, ended = local(grown.root), local(tmp_path), adaptive(0.9), grown.study
    plan = Rounds(Compare(comparison))
    assert isinstance(plan, Plan)
    notes = [wave.note for wave in plan.waves(by_hand) if wave.note]
    assert notes == [f"tiny: {ending(comparison.study.subsets, ended.study.subsets.models)}"]
    run(plan, store, InProcess(store, EXECUTION))
    assert current_round(store, comparison).comparison == ended
    assert digests(store) == digests(by_hand)
    of_a, of_b = (
        Curve.of(ended.study, training).point(ended.study.subsets.models).record for training in ended.trainings
    )
    for key in (of_b, shard_key(ended.trainings[0].subsets, 1)):
        content = store.read(key)
        store.write(key, content[:-1] + bytes([content[-1] ^ 1]))
    store.delete(of_a)
    run(plan, store, InProcess(store, EXECUTION))
    assert current_round(store, comparison).comparison == ended
    assert digests(store) == digests(by_hand)
