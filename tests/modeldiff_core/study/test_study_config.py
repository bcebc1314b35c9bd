"""The study's configuration: frozen, closed, and each error with the whole key of what is wrong."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from modeldiff_core.errors import ConfigError
from modeldiff_core.study import StudyConfig, build_algorithm, load_dataset, parse_study
from modeldiff_core.study.config import AlgorithmConfig, ComparisonConfig
from modeldiff_core.training.augmentations import Augmentation

Make = Callable[..., dict[str, Any]]


def problem(content: Make, changes: dict[str, object] | None = None, remove: str = "") -> ConfigError:
    """What is found wrong on the way from plain values to algorithms and data."""

    def read() -> None:
        study = parse_study(content(changes, remove))
        build_algorithm(study.algorithm_a, "algorithm_a")
        build_algorithm(study.algorithm_b, "algorithm_b")
        load_dataset(study.dataset)

    with pytest.raises(ConfigError) as caught:
        read()
    assert str(caught.value).startswith(f"{caught.value.key}: expected {caught.value.expected}, got ")
    return caught.value


def test_a_study_is_made_of_plain_values(content: Make) -> None:
    study = parse_study(content())
    assert study == StudyConfig(**content())
    assert study.algorithm_a != study.algorithm_b
    assert study.dataset.options()["n_train"] == 200
    assert study.transformations[0].target_class == 8
    assert study.comparison == ComparisonConfig()
    assert parse_study(study.model_dump(mode="json")) == study


@pytest.mark.parametrize("part", ["", "subsets", "dataset", "algorithm_a", "regression", "comparison", "ensemble"])
def test_a_study_is_frozen(content: Make, part: str) -> None:
    study = parse_study(content())
    settings = getattr(study, part) if part else study
    for name in type(settings).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(settings, name, getattr(settings, name))


@pytest.mark.parametrize(
    "key",
    [
        "extra",
        "subsets.extra",
        "algorithm_a.extra",
        "regression.extra",
        "comparison.extra",
        "ensemble.extra",
        "effects.extra",
        "algorithm_b.recipe.extra",
        "algorithm_a.recipe.network.extra",
        "algorithm_b.recipe.augmentations.0.extra",
        "dataset.extra",
        "dataset.plant.extra",
        "dataset.plant.watermark.extra",
    ],
)
def test_an_unknown_key_is_refused_wherever_it_stands(content: Make, key: str) -> None:
    assert problem(content, {key: 1}).key == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "No Capitals"),
        ("name", "a/b"),
        ("targets", 1),
        ("subsets.fraction", 0),
        ("subsets.fraction", 1.0),
        ("subsets.fraction", float("nan")),
        ("subsets.models", 0),
        ("subsets.evaluation_models", 2),
        ("subsets.shard_size", 1.5),
        ("subsets.paired", "perhaps"),
        ("ensemble.models", 1),
        ("regression.lambda_min_ratio", 1),
        ("regression.gap_tolerance", float("inf")),
        ("comparison.components", 0),
        ("comparison.permutations", -1),
        ("effects.delta", 0),
        ("effects.epsilon", 0.5),
        ("algorithm_a.name", ""),
        ("algorithm_a.kind", "forest"),
        ("algorithm_a.recipe.learning_rate", -1),
        ("algorithm_b.recipe.learning_rate", "fast"),
        ("algorithm_a.recipe.mean", float("nan")),
        ("algorithm_a.recipe.epochs", 0),
        ("algorithm_a.recipe.epochs", 1.5),
        ("algorithm_a.recipe.schedule", "step"),
        ("algorithm_a.recipe.network.kind", "transformer"),
        ("algorithm_a.recipe.network.widths", [8, 0]),
        ("algorithm_b.recipe.augmentations.0.kind", "flop"),
        ("algorithm_b.recipe.augmentations.0.probability", 2),
        ("algorithm_b.recipe.augmentations.0.height", "tall"),
        ("dataset.kind", "cifar"),
        ("dataset.n_train", "many"),
        ("dataset.plant.fraction", 0),
        ("dataset.plant.label", 10),
    ],
)
def test_an_error_has_the_whole_key(content: Make, key: str, value: object) -> None:
    assert problem(content, {key: value}).key == key


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"dataset.plant.watermark.height": 0}, "dataset.plant.watermark"),
        ({"algorithm_b.recipe.augmentations.0.height": 0}, "algorithm_b.recipe.augmentations.0"),
        ({"transformations.0.intensities": [1.0, 0.5]}, "transformations.watermark.intensities"),
    ],
)
def test_an_error_of_several_settings_has_the_key_above_them(
    content: Make, change: dict[str, object], key: str
) -> None:
    assert problem(content, change).key == key


@pytest.mark.parametrize("key", ["name", "dataset", "dataset.kind", "algorithm_b.kind", "dataset.plant.label"])
def test_a_setting_that_is_missing(content: Make, key: str) -> None:
    error = problem(content, remove=key)
    assert (error.key, error.expected) == (key, "a value")


def test_an_augmentation_is_judged_as_the_kind_that_it_names(content: Make) -> None:
    """Not by the first kind that there is."""
    error = problem(content, {"algorithm_b.recipe.augmentations": [{"kind": "translate", "pixels": 0}]})
    assert (error.key, error.expected, error.got) == ("algorithm_b.recipe.augmentations.0.pixels", "1 or more", 0)
    error = problem(content, {"algorithm_b.recipe.augmentations": [{"kind": "flop"}]})
    assert error.expected == "one of " + ", ".join(repr(kind().kind) for kind in get_args(Augmentation))


def test_one_problem_is_told_and_the_others_are_counted(content: Make) -> None:
    error = problem(content, {"subsets.models": 0, "subsets.fraction": 2, "comparison.top": 0})
    assert str(error) == "subsets.fraction: expected less than 1 (2 more problems), got 2"


def test_an_unknown_recipe_setting_lists_those_that_there_are() -> None:
    config = AlgorithmConfig(name="x", kind="sgd", recipe={"lerning_rate": 0.1})
    with pytest.raises(ConfigError, match="one of augmentations, batch_size, .*learning_rate.*, got 'lerning_rate'"):
        build_algorithm(config, "algorithm_a")


def test_values_that_are_no_study_at_all() -> None:
    for nothing in (None, 3, ["name"], "study"):
        with pytest.raises(ConfigError, match="dictionary"):
            parse_study(nothing)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"transformations.0.parameters": None}, "transformations.watermark.parameters"),
        ({"transformations.0.intensities": "all"}, "transformations.watermark.intensities"),
        ({"transformations.0.extra": 1}, "transformations.watermark.extra"),
        ({"transformations.0.name": ["watermark"]}, "transformations.0.name"),
    ],
)
def test_a_transformation_is_named_in_a_key_by_its_name(content: Make, changes: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_study(content(changes))
    assert caught.value.key == key
