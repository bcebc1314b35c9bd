"""What is wrong with a study as a whole is found before anything is trained."""

from collections.abc import Callable
from typing import Any

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare.check import check_study
from modeldiff_core.study import load_dataset, trainings_of
from modeldiff_platform.flows.cli.compose import request

Planned = Callable[..., Any]
NO_PLANT = {"dataset.plant": None, "targets": None, "transformations": []}
ERASE = {"kind": "erase", "top": 7, "left": 0, "height": 2, "width": 2}


def warned(*study: Any) -> list[str]:
    """The warnings about a study, but for those that it is as small as tests are."""
    small = "targets (60): with 30 images", "ensemble.models (4): the search"
    return [warning for warning in check_study(*study) if not warning.startswith(small)]


def test_a_sound_study_passes_without_a_warning(planned: Planned) -> None:
    assert warned(*planned()) == []


def test_a_study_is_told_what_so_few_images_and_models_cannot_show(planned: Planned) -> None:
    images, *none = check_study(*planned())
    assert none == []
    assert images.startswith("targets (60): with 30 images that a transformation is put to the test on")
    assert images.endswith("that takes 59 or more")
    models, again = check_study(*planned({"ensemble.models": 4}))
    assert models.startswith("ensemble.models (4): the search confirms with half of them")
    assert again == images


@pytest.mark.parametrize("name", ["digits_watermark", "digits_null", "digits_translation", "digits_sklearn"])
def test_the_studies_that_ship_are_sound(name: str) -> None:
    study = request([f"study={name}"]).study
    data = load_dataset(study.dataset)
    assert check_study(study, data, trainings_of(study, data)) == []


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"algorithm_b.name": "as is"}, "algorithm_b.name", "another name than algorithm_a's, got 'as is'"),
        ({"targets": 61}, "targets", "at most the 60 test examples, got 61"),
        ({"subsets.models": 39}, "subsets.models", "at least 20 more than subsets.evaluation_models .20., got 39"),
        ({"regression.folds": 41}, "regression.folds", "at most 40, got 41"),
        ({"comparison.components": 60}, "comparison.components", "fewer than the 60 targets"),
        ({"comparison.components": 5, "targets": 5}, "comparison.components", "fewer than the 5 targets"),
        ({"comparison.components": 200, "dataset.n_test": 300}, "comparison.components", "fewer than the 200 targets"),
        ({**NO_PLANT, "dataset.n_test": 1}, "dataset", "more test images than directions .*, got 1"),
        (
            {**NO_PLANT, "dataset.n_test": 5, "comparison.components": 8},
            "dataset",
            "got 5.*comparison.components=4",
        ),
        ({**NO_PLANT, "dataset.n_train": 5}, "dataset", "no training image is of the class .*dataset.n_train"),
        ({"dataset.n_train": 40}, "subsets.fraction", r"misses class '\d' \(3 training examples\)"),
        ({"subsets.fraction": 0.1}, "subsets.fraction", r"A subset of 20 misses class '\d' \(\d+ training examples\)"),
        ({"transformations.0.target_class": 10}, "transformations.watermark.target_class", r"in 0\.\.9, got 10"),
        ({"transformations.0.kind": "sparkle"}, "transformations.watermark.kind", "yellow_square, got 'sparkle'"),
        ({"transformations.0.parameters": {"size": 3}}, "transformations.watermark.parameters.size", "one of height"),
        ({"ensemble.models": 3}, "ensemble.models", "4 or more, got 3"),
        (
            {"transformations.0.kind": "background", "transformations.0.parameters": {}},
            "transformations.watermark.parameters.mask",
            "a metadata column of masks",
        ),
        ({"transformations.0.parameters.top": 7}, "transformations.watermark.parameters", "a block inside 8×8 images"),
        ({"algorithm_b.recipe.augmentations": [ERASE]}, "algorithm_b.recipe.augmentations", "inside 8×8 images"),
        (
            {"algorithm_a.recipe.network": {"kind": "cnn", "widths": [4, 4, 4, 4]}},
            "algorithm_a.recipe.network.widths",
            "at most 3 layers for 8×8 images",
        ),
    ],
)
def test_a_study_that_cannot_give_a_result(planned: Planned, changes: dict[str, object], key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check_study(*planned(changes))
    assert caught.value.key == key


@pytest.mark.parametrize(
    "changes",
    [
        {"targets": 60},
        {"subsets.models": 40},
        {"ensemble.models": 4},
        {"ensemble.models": 2, "search.directions": 0},
        {"comparison.components": 59},
        {"transformations.0.target_class": 9},
        {"transformations.0.parameters.top": 5},
        {"algorithm_b.recipe.augmentations": [{**ERASE, "top": 6}]},
        {"algorithm_a.recipe.network": {"kind": "cnn", "widths": [4, 4, 4]}},
    ],
)
def test_the_last_value_that_is_allowed(planned: Planned, changes: dict[str, object]) -> None:
    assert warned(*planned(changes)) == []


def test_two_transformations_of_one_name(planned: Planned) -> None:
    twice = [
        {"name": "noise", "kind": "noise"},
        {"name": "blur", "kind": "blur"},
        {"name": "noise", "kind": "contrast"},
    ]
    with pytest.raises(ConfigError, match="distinct names, got 'noise'") as caught:
        check_study(*planned({"transformations": twice}))
    assert caught.value.key == "transformations"
    assert warned(*planned({"transformations": twice[:2]})) == []


def test_one_algorithm_under_two_names_is_warned_of(planned: Planned) -> None:
    same: dict[str, object] = {"algorithm_b.recipe.augmentations": []}
    (warning,) = warned(*planned(same))
    assert "algorithm_a (as is) and algorithm_b (erased) are the same algorithm" in warning
    assert warned(*planned({**same, "algorithm_b.seed": 2})) == []
    assert warned(*planned({**same, "algorithm_b.recipe.mean": 0.4})) == []
