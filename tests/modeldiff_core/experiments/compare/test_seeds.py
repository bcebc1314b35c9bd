"""``subsets.seeds``: every mask is trained with several seeds, and its models go through a comparison as one."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modeldiff_core import plan
from modeldiff_core.comparison import Pairs, permuted_differences
from modeldiff_core.comparison.permutation import both_sides, common_fits
from modeldiff_core.datamodels.folds import held_out
from modeldiff_core.datamodels.ridge import Ridge
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare import Compare, Comparison
from modeldiff_core.experiments.compare.check import check_study
from modeldiff_core.responses import FullModels, SubsetModels
from modeldiff_core.stages.directions import _pairs
from modeldiff_core.stages.regression import replicates_of, rows_used
from modeldiff_core.statistics import p_values
from modeldiff_core.statistics.replicates import Replicates
from modeldiff_core.store import MarginMatrix, ObjectStore, read_record, read_shard, shard_key
from modeldiff_core.study import load_dataset
from modeldiff_core.subsets import SubsetSampler
from tests.modeldiff_core.stages.studies import local, run, tiny

SUBSETS: dict[str, Any] = {"models": 60, "evaluation_models": 10, "shard_size": 20}
HELD, MODELS = 10, 60


def twice(**changes: Any) -> Comparison:
    """A study of 30 masks with 2 models each."""
    return tiny(subsets={**SUBSETS, "seeds": 2}, **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    store = local(tmp_path_factory.mktemp("seeds"))
    run(store, twice())
    return store


def bits(store: ObjectStore) -> dict[str, str]:
    """Digests of all objects but times and consolidated arrays, whose group has a new name whenever it is written."""
    keys = (key for key in store.sizes("") if not key.endswith(".time.json") and "/margins-" not in key)
    return {key: hashlib.sha256(store.read(key)).hexdigest() for key in keys}


def matrix(store: ObjectStore) -> MarginMatrix:
    comparison = twice()
    return MarginMatrix.open(store, comparison.matrix(comparison.trainings[0]).reference.key)


def test_one_seed_changes_no_digest_and_two_make_trainings_of_their_own() -> None:
    plain, one, two = tiny(subsets=SUBSETS), tiny(subsets={**SUBSETS, "seeds": 1}), twice()
    assert one.digest == plain.digest != two.digest
    assert [t.digest for t in one.trainings] == [t.digest for t in plain.trainings]
    assert "seeds" not in one.trainings[0].identity["subsets"]
    assert two.trainings[0].identity["subsets"]["seeds"] == 2
    assert two.trainings[0].prefix != one.trainings[0].prefix


def test_models_of_a_mask_have_its_units_and_other_seeds(finished: ObjectStore) -> None:
    training = twice().trainings[0]
    shard = read_shard(finished, training.subsets, 0, training.identity)
    drawn = SubsetSampler(60, training.fraction, training.subset_seed).masks(range(10))
    np.testing.assert_array_equal(shard.masks, np.repeat(drawn, 2, axis=0))
    pairs = shard.margins.reshape(10, 2, -1)
    assert (pairs[:, 0] != pairs[:, 1]).any(axis=1).all(), "each model starts from a seed of its own"
    assert len(np.unique(shard.margins, axis=0)) == 20


def test_halves_and_held_out_models_are_whole_masks(finished: ObjectStore) -> None:
    found = matrix(finished)
    groups = replicates_of(found).groups
    assert groups.tolist() == [model // 2 for model in range(MODELS)]
    parts = [rows_used(found, HELD, half) for half in (0, 1)]
    assert sum(part.sum() for part in parts) == MODELS - HELD
    assert set(groups[parts[0]]).isdisjoint(groups[parts[1]])
    assert not (parts[0] | parts[1])[:HELD].any()
    assert set(groups[parts[0]]) == set(range(6, 30, 2))


def test_exchanges_and_quarters_take_whole_masks(finished: ObjectStore) -> None:
    pairs = _pairs(finished, twice().pair, 1)
    assert len(pairs.replicates) == 12
    exchanged = pairs.replicates.exchange(np.random.default_rng(0)).reshape(-1, 2)
    assert (exchanged[:, 0] == exchanged[:, 1]).all()
    assert exchanged.any()
    assert not exchanged.all()
    for quarter in (pairs.half(0), pairs.half(1)):
        assert len(quarter.replicates) == 6
        np.testing.assert_array_equal(quarter.masks_a[::2], quarter.masks_a[1::2])
    one, other = pairs.replicates.parted(np.random.default_rng(0))
    assert len(one) == len(other) == 12
    assert set(pairs.replicates.groups[one]).isdisjoint(pairs.replicates.groups[other])


def test_a_finished_study_is_sound_and_says_what_it_found(finished: ObjectStore) -> None:
    experiment = Compare(twice())
    assert plan.survey(experiment, finished).complete
    assert plan.verify(experiment, finished) == ()
    summary = read_record(finished, experiment.summary.record)
    assert summary["algorithms"]["a"]["models"] == MODELS
    assert all(0 < entry["null_p"] <= 1 for entry in summary["directions"])
    assert finished.exists(experiment.report.record)
    page = finished.read(f"{experiment.folder}/report/methods.html").decode()
    assert "2 models on each subset" in page


def test_what_is_missing_is_made_again_to_the_bit(finished: ObjectStore) -> None:
    experiment, before = Compare(twice()), bits(finished)
    training = experiment.comparison.trainings[1]
    gone = [shard_key(training.subsets, 1), experiment.comparison.pair.null_block(0).record]
    gone.append(experiment.comparison.regression(training, 1).reference.record)
    for key in gone:
        finished.delete(key)
    assert not plan.survey(experiment, finished).complete
    run(finished, experiment.comparison)
    assert plan.verify(experiment, finished) == ()
    assert bits(finished) == before


@pytest.mark.parametrize(
    ("subsets", "key", "said"),
    [
        ({"models": 61}, "subsets.models", "a multiple of subsets.seeds .2., got 61"),
        ({"evaluation_models": 11}, "subsets.evaluation_models", "a multiple of subsets.seeds .2., got 11"),
        ({"evaluation_models": 4}, "subsets.evaluation_models", "3 masks or more"),
        ({"models": 48}, "subsets.models", "at least 40 more than subsets.evaluation_models .10., got 48"),
    ],
)
def test_numbers_that_split_a_mask_are_refused(subsets: dict[str, int], key: str, said: str) -> None:
    comparison = tiny(subsets={**SUBSETS, "seeds": 2, **subsets})
    with pytest.raises(ConfigError, match=said) as caught:
        check_study(comparison.study, load_dataset(comparison.study.dataset), comparison.trainings)
    assert caught.value.key == key


def null_p(study: int, seeds: int, *, by_mask: bool = True) -> float:
    """The p of the largest difference between algorithms that do not differ, against that of 12 exchanges.

    Margins are linear in the mask but for what a mask does to all its models, and a little of each model's own.
    """
    rng, (masks, targets, units) = np.random.default_rng(study), (60, 20, 24)
    theta = rng.normal(size=(targets, units))
    x = np.repeat(SubsetSampler(units, 0.5, study).masks(range(masks)), seeds, axis=0)
    replicates = Replicates.repeated(len(x), seeds)

    def margins() -> np.ndarray:
        of_mask = 2 * rng.normal(size=(masks, targets))[replicates.groups]
        return (x @ theta.T + of_mask + 0.5 * rng.normal(size=of_mask.shape)).astype(np.float32)

    a, b = margins(), margins()
    halves = []
    for rows in (replicates.half(0), replicates.half(1)):
        fits = [Ridge().prepare(x[rows], None)(y[rows]) for y in (a, b)]
        repeated = replicates.select(rows) if by_mask else None
        halves.append(Pairs(x[rows], x[rows], a[rows], b[rows], Ridge().common(*fits), repeated=repeated))
    both = (halves[0], halves[1])
    observed = both_sides(common_fits(both), 2, normalize=False)
    null = permuted_differences(both, 2, range(12), study, normalize=False)
    return float(p_values(np.array([observed.max()]), null.max((1, 2)))[0])


@pytest.mark.nightly
def test_more_seeds_a_mask_give_no_more_alarms() -> None:
    """24 null studies: as many alarms (p as small as 12 exchanges allow) by chance as 1 in 13, so 5 or more are rare.

    Exchanges of single models between which masks were shared would give ten.
    """
    p = {seeds: np.array([null_p(study, seeds) for study in range(24)]) for seeds in (1, 2, 4)}
    alarms = {seeds: int((found < 1 / 12).sum()) for seeds, found in p.items()}
    assert alarms[2] <= alarms[1] <= 4
    assert alarms[4] <= 4
    assert all(0.3 < found.mean() < 0.7 for found in p.values())
    single = np.array([null_p(study, 4, by_mask=False) for study in range(24)])
    assert (single < 1 / 12).sum() >= 8


def test_no_fold_and_no_validation_part_splits_a_mask() -> None:
    masks = SubsetSampler(24, 0.5, 0).masks(np.repeat(range(20), 3))
    replicates = Replicates.of_masks(masks)
    assert len(replicates) == 20
    for parts in (held_out(replicates, 4, 0.1, 5), held_out(replicates, 0, 0.2, 5)):
        for part in parts:
            inside = set(replicates.groups[part])
            assert len(part) == 3 * len(inside)
    assert len(held_out(replicates, 0, 0.2, 5)[0]) == 12


def test_full_data_models_are_not_repeated() -> None:
    two = twice().trainings[0]
    assert FullModels(two).design.masks(range(2)).all()
    assert SubsetModels(two).design.seeds(range(4)) == [0, 1, 0, 1]
    assert replace(two, seeds=1).design(60).masks([3]).tolist() == two.design(60).masks([6]).tolist()


def test_scores_are_told_as_shares_of_what_seeds_allow(finished: ObjectStore) -> None:
    summary = read_record(finished, twice().summary.record)
    for which in ("a", "b"):
        found = summary["reliability"][which]
        assert found["seeds"] == 2
        assert 0 < found["ceiling_one"]["value"] < found["ceiling_mean"]["value"] < 1
        if found["share"] is not None:  # 5 masks may tell too little
            share = found["mean"]["value"] / found["ceiling_mean"]["value"]
            assert found["share"]["value"] == pytest.approx(share)
    assert any("the most that is possible" in line for line in summary["findings"])
    page = Compare(twice()).pages(finished)["index.html"].decode()
    assert "Most that is possible against their mean" in page
