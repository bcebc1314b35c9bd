"""GPU-hours before there is a GPU or a file: the arithmetic, what is left out, and the table of the documentation."""

from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.data.cifar10 import Cifar10
from modeldiff_core.data.living17 import LIVING17, Living17
from modeldiff_core.data.waterbirds import Waterbirds
from modeldiff_core.study.gpu_hours import GPUS, SHARE, cost_of, predicted_lines
from modeldiff_platform.flows.cli.compose import request
from tests.modeldiff_core.stages.studies import tiny

TABLE = Path(__file__).parents[3] / "docs/cases/README.md"
CASES = {
    "living17_augmentation": (),
    "waterbirds_pretraining": ("algorithm_a.recipe.network.init=DIR",),
    "cifar10_sgd_noise": (),
}


def of(name: str, *overrides: str) -> Any:
    """The study, with weights that are there: this very file."""
    given = [one.replace("DIR", __file__) for one in CASES[name]]
    return request([f"study={name}", "dataset.folder=/nowhere", *given, *overrides]).study


def test_published_sizes() -> None:
    assert Cifar10("/x").expected().train == 50_000
    assert Cifar10("/x", n_train=100).expected().image_shape == (32, 32, 3)
    assert Living17(folder="/x").expected().train == 68 * 1300
    assert Living17(folder="/x").expected().classes == len(LIVING17) == 17
    assert Waterbirds(folder="/x", n_train=7).expected().train == 7


def test_hours_are_operations_over_the_speed() -> None:
    """Twice the models take twice the hours; a subset of a half half a full-data model's; products in TF32."""
    settings = ("scale=pilot", "subsets.models=1000", "ensemble.models=500")
    cost = cost_of(of("cifar10_sgd_noise", *settings))
    assert cost is not None
    assert cost.subsets == cost.ensembles, "1,000 times a half is 500 times all"
    assert cost.precisions == ("bfloat16", "bfloat16")
    subsets, ensembles, metagradients = cost.hours(GPUS[0])
    assert subsets == pytest.approx(sum(cost.subsets) / (SHARE * 312e12 * 3600))
    assert ensembles == subsets
    one = cost.ensembles[0] / 500
    assert (cost.trainings, cost.reverse, cost.forward) == (20, 64, 512)
    assert cost.metagradients == pytest.approx((20 + 2 * (64 + 512)) * one)
    assert metagradients == pytest.approx(cost.metagradients / (SHARE * 156e12 * 3600))


def test_what_has_no_size_or_hardly_any_cost_is_not_told() -> None:
    assert cost_of(tiny().study) is None
    assert list(predicted_lines(tiny().study)) == []
    assert cost_of(of("cifar10_sgd_noise", "scale=smoke")) is not None
    assert list(predicted_lines(of("cifar10_sgd_noise", "scale=smoke"))) == []


@pytest.mark.nightly
@pytest.mark.parametrize("name", list(CASES))
def test_the_table_of_the_documentation_is_what_plan_says(name: str) -> None:
    lines = TABLE.read_text("utf-8").splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith(f"| `{name}` | paper |")]
    for line, scale in zip(lines[at : at + 2], ("paper", "pilot"), strict=True):
        said = " ".join(predicted_lines(of(name, f"scale={scale}")))
        assert "predicted, not measured" in said
        hours = [cell.strip() for cell in line.split("|")[3:9]]
        for gpu, cells in zip(("A100", "H100"), (hours[:3], hours[3:]), strict=True):
            words = "{}: {} for subset models, {} for full-data models; instead of subset models {} by metagradients"
            assert words.format(gpu, *cells) in said
