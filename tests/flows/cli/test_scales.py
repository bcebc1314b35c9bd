"""Case studies in three sizes: what each is, and what other studies say of a size that they do not have."""

from functools import lru_cache
from typing import Any

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_platform.flows.cli.compose import composed

CASES = ("living17_augmentation", "waterbirds_pretraining", "cifar10_sgd_noise")
GIVEN = {"waterbirds_pretraining": ("dataset.folder=/x", "algorithm_a.recipe.network.init=/x")}


@lru_cache
def of(name: str, *overrides: str) -> dict[str, Any]:
    return composed([f"study={name}", *GIVEN.get(name, ("dataset.folder=/x",)), *overrides])


@pytest.mark.parametrize("name", CASES)
def test_the_paper_is_the_size_of_the_file_and_others_are_smaller(name: str) -> None:
    paper, pilot, smoke = of(name), of(name, "scale=pilot"), of(name, "scale=smoke")
    assert paper.keys() == pilot.keys() == smoke.keys()
    counts = [(found["subsets"]["models"], found["ensemble"]["models"]) for found in (paper, pilot, smoke)]
    assert counts[0][1] == 500
    assert counts[0] > counts[1] > counts[2]
    assert paper["name"] == pilot["name"] == smoke["name"] == name
    assert paper["transformations"] == smoke["transformations"]


def test_published_counts_rates_and_batches() -> None:
    models = {"living17_augmentation": 40_000, "waterbirds_pretraining": 50_000, "cifar10_sgd_noise": 100_000}
    for name, count in models.items():
        assert of(name)["subsets"]["models"] == count
    middle = of("cifar10_sgd_noise_middle", "scale=pilot")
    pilot = of("cifar10_sgd_noise", "scale=pilot")
    levels = [side["recipe"] for side in (pilot["algorithm_a"], middle["algorithm_a"], middle["algorithm_b"])]
    assert [(one["learning_rate"], one["batch_size"]) for one in levels] == [(0.1, 128), (0.05, 512), (0.02, 1024)]
    assert middle["algorithm_b"] == pilot["algorithm_b"]


def test_a_setting_of_ones_own_comes_after_the_size() -> None:
    found = of("cifar10_sgd_noise", "scale=smoke", "subsets.models=30", "algorithm_b.recipe.epochs=2")
    assert found["subsets"]["models"] == 30
    assert found["algorithm_b"]["recipe"]["epochs"] == 2
    assert found["algorithm_a"]["recipe"]["epochs"] == 6


def test_a_study_without_sizes_says_so() -> None:
    assert composed(["scale=paper"]) == composed([])
    with pytest.raises(ConfigError, match="living17_augmentation") as caught:
        composed(["study=digits_watermark", "scale=smoke"])
    assert caught.value.key == "scale"
    with pytest.raises(ConfigError, match="paper, pilot, smoke"):
        composed(["study=cifar10_sgd_noise", "dataset.folder=/x", "scale=small"])
