"""Case studies in three sizes: what each is, and what other studies say of a size that they do not have."""

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_platform.flows.cli.compose import composed, request

CASES = ("living17_augmentation", "waterbirds_pretraining", "cifar10_sgd_noise", "cifar10_sgd_noise_middle")
GIVEN = ("dataset.folder=/x", "+algorithm_a.recipe.network.init=/x")


def of(name: str, *overrides: str) -> dict[str, object]:
    given = GIVEN if name.startswith("waterbirds") else GIVEN[:1]
    return composed([f"study={name}", *given, *overrides])


@pytest.mark.parametrize("name", CASES)
def test_the_paper_is_the_size_of_the_file_and_others_are_smaller(name: str) -> None:
    paper, same, pilot, smoke = of(name), of(name, "scale=paper"), of(name, "scale=pilot"), of(name, "scale=smoke")
    assert paper == same
    assert paper.keys() == pilot.keys() == smoke.keys()
    counts = [(found["subsets"]["models"], found["ensemble"]["models"]) for found in (paper, pilot, smoke)]  # type: ignore[index]
    assert counts[0][1] == 500
    assert counts[0] > counts[1] > counts[2]
    assert paper["name"] == pilot["name"] == smoke["name"] == name
    assert paper["transformations"] == smoke["transformations"]


def test_published_counts_rates_and_batches() -> None:
    models = {"living17_augmentation": 40_000, "waterbirds_pretraining": 50_000, "cifar10_sgd_noise": 100_000}
    for name, count in models.items():
        assert of(name)["subsets"]["models"] == count  # type: ignore[index]
    levels = []
    for name, side in ((CASES[2], "algorithm_a"), (CASES[3], "algorithm_a"), (CASES[2], "algorithm_b")):
        recipe = of(name)[side]["recipe"]  # type: ignore[index]
        levels.append((recipe["learning_rate"], recipe["batch_size"]))
    assert levels == [(0.1, 128), (0.05, 512), (0.02, 1024)]
    assert of(CASES[3])["algorithm_b"] == of(CASES[2])["algorithm_b"]


def test_a_setting_of_ones_own_comes_after_the_size() -> None:
    found = of("cifar10_sgd_noise", "scale=smoke", "subsets.models=30", "algorithm_b.recipe.epochs=2")
    assert found["subsets"]["models"] == 30  # type: ignore[index]
    assert found["algorithm_b"]["recipe"]["epochs"] == 2  # type: ignore[index]
    assert found["algorithm_a"]["recipe"]["epochs"] == 3  # type: ignore[index]


def test_a_study_without_sizes_says_so() -> None:
    assert request(["scale=paper"]).study == request([]).study
    with pytest.raises(ConfigError, match="living17_augmentation") as caught:
        composed(["study=digits_watermark", "scale=smoke"])
    assert caught.value.key == "scale"
    with pytest.raises(ConfigError, match="paper, pilot, smoke"):
        composed(["study=cifar10_sgd_noise", "dataset.folder=/x", "scale=small"])
