"""Identity is what decides numbers; how a study is run and what people call things are not."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from modeldiff_core.data import Dataset
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare import Comparison
from modeldiff_core.identity import digest, plain, restore
from modeldiff_core.responses import shards_of
from modeldiff_core.study import StudyConfig, Training, parse_study, trainings_of
from modeldiff_platform.flows.cli.compose import request

Planned = Callable[..., Any]


def digests(planned: Planned, changes: dict[str, object] | None = None) -> tuple[str, str]:
    a, b = planned(changes)[2]
    return digest(a.identity), digest(b.identity)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"algorithm_a.name": "renamed", "algorithm_b.name": "too"},
        {"subsets.models": 5000},
        {"subsets.evaluation_models": 50},
        {"ensemble.models": 40},
        {"regression.block_size": 7, "regression.n_lambdas": 3},
        {"comparison.components": 3, "comparison.permutations": 0},
        {"effects.max_images": 10},
        {"transformations": []},
        {"targets": 60},
        {"algorithm_a.recipe.learning_rate": 0.1, "algorithm_a.recipe.network": {"kind": "mlp", "widths": [64]}},
        {"algorithm_a.recipe.momentum": "0.9", "algorithm_a.recipe.weight_decay": 5e-4},
        {"algorithm_b.recipe.augmentations.0.probability": 1},
    ],
)
def test_what_decides_no_number_of_a_training_is_not_its_identity(planned: Planned, changes: dict[str, object]) -> None:
    assert planned(changes)[0] != planned()[0], "the study changes"
    assert digests(planned, changes) == digests(planned)


@pytest.mark.parametrize(
    "spellings",
    [
        [{"algorithm_a.recipe.mean": 0.4}, {"algorithm_a.recipe.mean": [0.4]}],
        [{"algorithm_a.recipe.scale": 1}, {"algorithm_a.recipe.scale": [1.0]}, {"algorithm_a.recipe.scale": [1]}],
        [{"targets": None}, {"targets": 60}],
        [{"algorithm_a.recipe.weight_decay": 0}, {"algorithm_a.recipe.weight_decay": 0.0}],
    ],
)
def test_one_thing_spelled_in_two_ways_has_one_key(planned: Planned, spellings: list[dict[str, object]]) -> None:
    found = [(digests(planned, changes), Comparison.of(planned(changes)[0]).digest) for changes in spellings]
    assert all(one == found[0] for one in found)


def test_fewer_targets_are_another_comparison(planned: Planned) -> None:
    some, every = (Comparison.of(planned({"targets": targets})[0]) for targets in (59, 60))
    assert some.digest != every.digest


RECIPE = {
    "network": {"kind": "mlp", "widths": [32]},
    "epochs": 4,
    "batch_size": 51,
    "learning_rate": 0.11,
    "momentum": 0.91,
    "weight_decay": 0.0,
    "label_smoothing": 0.1,
    "schedule": "cosine",
    "peak": 0.3,
    "mean": 0.4,
    "scale": 0.6,
    "augmentations": [{"kind": "flip"}],
    "precision": "bfloat16",
    "test_time": "flip",
}


@pytest.mark.parametrize("setting", RECIPE)
def test_every_recipe_setting_of_an_algorithm_is_its_identity(planned: Planned, setting: str) -> None:
    before, after = digests(planned), digests(planned, {f"algorithm_a.recipe.{setting}": RECIPE[setting]})
    assert after[0] != before[0]
    assert after[1] == before[1], "B has not changed"


def test_the_recipe_settings_above_are_all_there_are(planned: Planned) -> None:
    assert planned()[2][0].identity["algorithm"]["recipe"].keys() == RECIPE.keys()


@pytest.mark.parametrize(
    "changes",
    [
        {"subsets.fraction": 0.4},
        {"subsets.seed": 1},
        {"subsets.shard_size": 25},
        {"ensemble.shard_size": 5},
        {"targets": 59},
        {"dataset.seed": 1},
        {"dataset.n_train": 199},
        {"dataset.n_test": 61},
        {"dataset.plant": None},
        {"dataset.plant.seed": 1},
        {"dataset.plant.fraction": 0.5},
        {"dataset.plant.label": 3},
        {"dataset.plant.watermark.left": 1},
        {"algorithm_a.seed": 2, "algorithm_b.seed": 2},
        {f"algorithm_{which}.{key}": value for which in "ab" for key, value in (("kind", "sklearn"), ("recipe", {}))},
    ],
)
def test_data_design_and_seeds_are_the_identity_of_both(planned: Planned, changes: dict[str, object]) -> None:
    before, after = digests(planned), digests(planned, changes)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_an_independent_design_changes_the_masks_of_b_alone(planned: Planned) -> None:
    before, after = digests(planned), digests(planned, {"subsets.paired": False})
    assert after[0] == before[0]
    assert after[1] != before[1]
    (a, b), (_, apart) = planned()[2], planned({"subsets.paired": False})[2]
    masks = [training.sampler(200).masks(range(3)) for training in (a, b, apart)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


def test_store_and_runner_are_no_part_of_a_composed_study() -> None:
    plain = request(["study=digits_watermark"])
    moved = request(
        [
            "study=digits_watermark",
            "store.root=s3://bucket/x",
            "store.endpoint=http://host:1",
            "runner.workers=3",
            "runner.stack=7",
            "subsets.models=3000",
        ]
    )
    assert moved.store != plain.store
    assert moved.runner != plain.runner
    assert moved.study.model_copy(update={"subsets": plain.study.subsets}) == plain.study

    def found(study: StudyConfig) -> list[str]:
        from modeldiff_core.study import load_dataset

        return [digest(training.identity) for training in trainings_of(study, load_dataset(study.dataset))]

    assert len(set(found(plain.study))) == 2
    assert found(moved.study) == found(plain.study)


def test_a_training_survives_json(planned: Planned) -> None:
    for training in planned()[2]:
        back = restore(Training, json.loads(json.dumps(plain(training))))
        assert back == training
        assert back.identity == training.identity
        assert back.prefix == training.prefix
        assert json.dumps(training.record())


def test_folders_are_named_by_what_is_trained(planned: Planned) -> None:
    a, b = planned()[2]
    assert a.prefix == f"trainings/digits.sgd-{digest(a.identity)[:8]}"
    assert (a.subsets, a.ensemble) == (f"{a.prefix}/subsets", f"{a.prefix}/ensemble")
    assert a.prefix != b.prefix


def test_the_task_is_what_the_study_says(planned: Planned) -> None:
    study, data, (a, b) = planned({"targets": 40})
    task = b.task()
    assert (len(task.train), len(task.targets), task.n_classes, task.seed) == (200, 40, 10, 1)
    np.testing.assert_array_equal(task.targets.images, data.test.images[:40])
    assert [augmentation.kind for augmentation in task.algorithm.augmentations] == ["erase"]
    assert a.task().algorithm.augmentations == ()
    assert a.record()["algorithm_name"] == study.algorithm_a.name


def test_data_that_have_changed_since_the_plan_are_refused(planned: Planned) -> None:
    training = planned()[2][0]
    stale = replace(training, fingerprint="0" * 64)
    with pytest.raises(ConfigError, match="examples with fingerprint 00000000") as caught:
        stale.load()
    assert caught.value.key == "dataset"


def test_shards_of_one_process_hash_their_data_once(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a data set that no other test has loaded."""
    hashed = []
    once = Dataset.fingerprint.func
    counting = cached_property(lambda data: hashed.append(1) or once(data))
    counting.__set_name__(Dataset, "fingerprint")
    monkeypatch.setattr(Dataset, "fingerprint", counting)
    a, b = planned({"dataset.seed": 4711})[2]
    for training in (a, b, a, restore(Training, plain(b))):
        training.load()
        training.task()
    assert len(hashed) == 1


def test_the_last_shard_is_trained_in_full() -> None:
    assert [shards_of(models, 50) for models in (1, 50, 51, 100, 101)] == [1, 1, 2, 2, 3]


def test_a_study_of_an_algorithm_is_the_same_on_either_side(planned: Planned, content: Callable[..., Any]) -> None:
    """A against B and B against A share their trainings."""
    plain = content()
    swapped = {**plain, "algorithm_a": plain["algorithm_b"], "algorithm_b": plain["algorithm_a"]}
    _, data, (a, b) = planned()
    c, d = trainings_of(parse_study(swapped), data)
    assert (a.prefix, b.prefix) == (d.prefix, c.prefix)
