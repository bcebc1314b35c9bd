"""The stated memory of products, term by term."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from modeldiff_core.data import Examples
from modeldiff_core.metagradients import Point, Trajectory, forward_products, process_of, reverse_products
from modeldiff_core.metagradients.dense import RECENT, DenseProcess
from modeldiff_core.metagradients.memory import HELD, product_bytes
from modeldiff_core.metagradients.sgd import SgdProcess
from modeldiff_core.metagradients.trajectory import state_bytes
from modeldiff_core.training import Execution, Task
from tests.modeldiff_core.metagradients.cases import CLASSES, RECIPES, TARGETS, TRAIN

REPOSITORY = Path(__file__).parents[3]


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


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet9", "last layer of a random network"])
def test_a_training_that_nobody_needs_is_let_go_at_once(name: str, train: Examples, targets: Examples) -> None:
    gc.disable()
    try:
        trajectory = Trajectory(process(name, train, targets))
        assert forward_products(trajectory, torch.ones(1, TRAIN)).any()
        assert reverse_products(trajectory, torch.ones(1, TARGETS)).any()
        known = [weakref.ref(one) for one in (trajectory, trajectory.process, *trajectory.last.values())]
        del trajectory
        assert all(one() is None for one in known)
    finally:
        gc.enable()


FIRST = """
import gc, weakref, torch
from modeldiff_core.metagradients import Point, Trajectory, forward_products, process_of, reverse_products
from modeldiff_core.training import Execution, Task
from tests.modeldiff_core.metagradients.cases import CLASSES, RECIPES, TARGETS, TRAIN, examples
train, targets = examples(TRAIN, 0), examples(TARGETS, 1)
gc.collect(), gc.disable()
for name in ("mlp", "cnn", "resnet9"):
    task = Task(RECIPES[name], 5, train, targets, CLASSES)
    trajectory = Trajectory(process_of(task, Point.everywhere(TRAIN, 0.5), 0, Execution()))
    assert forward_products(trajectory, torch.ones(1, TRAIN)).any(), name
    assert reverse_products(trajectory, torch.ones(1, TARGETS)).any(), name
    known = weakref.ref(trajectory)
    del trajectory
    assert known() is None, name
"""


def test_so_are_the_first_ones_of_a_process_whose_types_nobody_checks() -> None:
    # Checks of types look at a batch's inputs before anything else does, and hide what happens without them.
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, cwd=REPOSITORY)
    assert not done.returncode, done.stderr
