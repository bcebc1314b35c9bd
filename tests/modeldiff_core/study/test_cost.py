"""What training a model costs is counted from network and recipe."""

from typing import Any

import pytest

from modeldiff_core.study.cost import training_flops
from modeldiff_core.study.trainings import Training
from tests.modeldiff_core.stages.studies import SGD, TINY, tiny


def training(kind: str = "sgd", **recipe: Any) -> Training:
    algorithm = {"name": "asked", "kind": kind, "seed": 1, "recipe": {**SGD, **recipe} if kind == "sgd" else recipe}
    return tiny(algorithm_a=algorithm).trainings[0]


def test_a_dense_network_costs_its_products_three_times() -> None:
    forward = 2 * (64 * 8 + 8 * 10)
    examples = TINY["dataset"]["n_train"]
    assert training_flops(training()) == 3 * forward * examples * SGD["epochs"]
    assert training_flops(training(epochs=40)) == pytest.approx(10 * training_flops(training()))  # type: ignore[operator]


def test_a_convolution_costs_its_size_at_every_place() -> None:
    found = training_flops(training(network={"kind": "cnn", "widths": [4]}))
    dense = training_flops(training())
    assert found is not None
    assert dense is not None
    assert found > 2 * 64 * 9 * 4 * 3 * TINY["dataset"]["n_train"] * SGD["epochs"] * 0.99


def test_what_is_not_counted_is_none() -> None:
    assert training_flops(training("sklearn", classifier="LogisticRegression")) is None
