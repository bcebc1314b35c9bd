"""The stated memory of products, term by term."""

import gc
import weakref

import numpy as np
import pytest
import torch

from modeldiff_core.data import Examples
from modeldiff_core.metagradients import Point, Trajectory, forward_products, process_of
from modeldiff_core.metagradients.dense import RECENT, DenseProcess
from modeldiff_core.metagradients.memory import HELD, product_bytes
from modeldiff_core.metagradients.sgd import SgdProcess
from modeldiff_core.metagradients.trajectory import state_bytes
from modeldiff_core.training import Execution, Task
from tests.modeldiff_core.metagradients.cases import CLASSES, RECIPES, TRAIN


def process(name: str, train: Examples, targets: Examples) -> SgdProcess:
    found = process_of(Task(RECIPES[name], 5, train, targets, CLASSES), Point.everywhere(TRAIN, 0.5), 0, Execution())
    assert isinstance(found, SgdProcess)
    return found


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet9", "last layer of a random network"])
def test_a_state_and_a_probe_cost_what_they_hold(name: str, train: Examples, targets: Examples) -> None:
    one = process(name, train, targets)
    if isinstance(one, DenseProcess):
        one.passes = 0
    state = state_bytes(one.initial())
    assert product_bytes(one, 9, 4) - product_bytes(one, 5, 4) == 4 * state
    evaluated = product_bytes(one, 5, 3) - product_bytes(one, 5, 2)
    assert evaluated >= 2 * state + 4 * TRAIN


def test_the_terms_of_a_network_of_one_hidden_layer(train: Examples, targets: Examples) -> None:
    one = process("mlp", train, targets)
    assert isinstance(one, DenseProcess)
    one.passes = 0
    state, layers, batch, probes = state_bytes(one.initial()), 6 + CLASSES, 10, 4
    kept = 4 * int(np.prod(train.images.shape))
    expected = 8 * state + probes * (2 * state + HELD * layers * batch * 4 + TRAIN * 4) + kept
    latest = RECENT * (144 + 3 * layers) * batch * 4
    evaluated = len(targets) * (probes + 1) * (144 + HELD * layers) * 4
    assert product_bytes(one, 5, probes) == expected + latest + evaluated
    with_passes = process("mlp", train, targets)
    assert product_bytes(with_passes, 5, probes) - expected - latest - evaluated == 5 * (144 + 3 * layers) * batch * 4


def test_a_training_that_nobody_needs_is_let_go_at_once(train: Examples, targets: Examples) -> None:
    gc.disable()
    try:
        trajectory = Trajectory(process("mlp", train, targets))
        assert forward_products(trajectory, torch.ones(1, TRAIN)).any()
        known = weakref.ref(trajectory.process)
        del trajectory
        assert known() is None
    finally:
        gc.enable()
