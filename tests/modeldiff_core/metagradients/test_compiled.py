"""Products in compiled code against those of torch, which are written out, and against plain differentiation."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from modeldiff_core.data import Examples
from modeldiff_core.metagradients import (
    Calculus,
    Point,
    Process,
    Trajectory,
    dense,
    forward_products,
    process_of,
    reverse_products,
)
from modeldiff_core.metagradients.compiled import BLOCK, compiled_products
from modeldiff_core.metagradients.dense import DenseProcess
from modeldiff_core.metagradients.process import Process as Plain
from modeldiff_core.metagradients.sgd import SgdProcess
from modeldiff_core.training import Execution, Task
from modeldiff_core.training.augmentations import Erase, Flip, Noise, Translate
from modeldiff_core.training.native import native_library
from modeldiff_core.training.settings import Network
from tests.modeldiff_core.metagradients.cases import CLASSES, MLP, TARGETS, TRAIN, random

CASES: dict[str, dict[str, Any]] = {
    "as shipped": {"epochs": 13},
    "three layers": {"network": Network("mlp", (20, 17, 5)), "epochs": 5},
    "smoothed, decayed, other momentum": {"label_smoothing": 0.1, "weight_decay": 0.02, "momentum": 0.5, "epochs": 13},
    "erased and of subsets": {
        "augmentations": (Erase(height=5, width=4),),
        "mean": "subset",
        "scale": "subset",
        "epochs": 5,
    },
    "mirrored and moved": {"augmentations": (Flip(), Translate()), "test_time": "flip", "epochs": 5},
}
pytestmark = pytest.mark.skipif(native_library() is None, reason="no compiler")


def made(changes: dict[str, Any], train: Examples, targets: Examples, calculus: Calculus | None = None) -> Process:
    recipe = replace(MLP, **{"learning_rate": 0.02, **changes})
    return process_of(Task(recipe, 5, train, targets, CLASSES), Point.everywhere(TRAIN, 0.5), 0, Execution(), calculus)


def products(process: Process) -> tuple[torch.Tensor, torch.Tensor]:
    trajectory = Trajectory(process)
    forward = forward_products(trajectory, random(3, TRAIN))
    return forward, reverse_products(trajectory, random(4, TARGETS, seed=1))


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected).norm(dim=1).max() / expected.double().norm(dim=1).min())


@pytest.mark.parametrize("name", CASES)
def test_products_are_those_of_torch(
    name: str, train: Examples, targets: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = made(CASES[name], train, targets)
    assert isinstance(process, DenseProcess)
    assert compiled_products(process) is not None
    assert process.steps % BLOCK
    found = products(process)
    monkeypatch.setattr(dense, "compiled_products", lambda process: None)
    written_out = products(made(CASES[name], train, targets))
    for step in ("push", "pull", "carry", "carry_back"):
        monkeypatch.setattr(DenseProcess, step, getattr(Plain, step))
    monkeypatch.setattr(DenseProcess, "gradient", SgdProcess.gradient)
    traced = products(made(CASES[name], train, targets, Calculus("float64")))
    for one, of_torch, exact in zip(found, written_out, traced, strict=True):
        assert apart(one, exact) < 1e-5
        assert apart(one, of_torch.double()) < 1e-5
        assert not torch.equal(one, of_torch)


def test_a_factor_of_the_logits_is_taken(train: Examples, targets: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for compiled in (True, False):
        process = made({}, train, targets)
        assert isinstance(process, DenseProcess)
        process.scale = 0.3
        if not compiled:
            monkeypatch.setattr(dense, "compiled_products", lambda process: None)
        found.append(products(process))
    assert all(apart(one, of_torch.double()) < 1e-5 for one, of_torch in zip(*found, strict=True))


@pytest.mark.parametrize(
    "changes",
    [{"momentum": 0.0}, {"augmentations": (Noise(deviation=0.05),)}],
    ids=["no momentum", "noise"],
)
def test_torch_takes_what_compiled_code_does_not(changes: dict[str, Any], train: Examples, targets: Examples) -> None:
    process = made(changes, train, targets)
    assert isinstance(process, DenseProcess)
    assert compiled_products(process) is None
    in_double = made({}, train, targets, Calculus("float64"))
    assert isinstance(in_double, DenseProcess)
    assert compiled_products(in_double) is None
    assert all(one.isfinite().all() and one.any() for one in products(process))


def test_compiled_code_can_be_left_out(train: Examples, targets: Examples) -> None:
    task = Task(MLP, 5, train, targets, CLASSES)
    for native in (True, False):
        process = process_of(task, Point.everywhere(TRAIN, 0.5), 0, Execution(native=native))
        assert isinstance(process, DenseProcess)
        assert (compiled_products(process) is not None) == native


def test_each_probe_has_the_same_product_alone(train: Examples, targets: Examples) -> None:
    trajectory = Trajectory(made({}, train, targets))
    directions, probes = random(3, TRAIN), random(3, TARGETS, seed=1)
    for product, given in ((forward_products, directions), (reverse_products, probes)):
        together = product(trajectory, given)
        # Targets' outputs and their gradients come from torch, whose sums may depend on the number of probes.
        assert apart(torch.cat([product(trajectory, one[None]) for one in given]), together.double()) < 1e-6


def test_products_that_are_not_finite_are_told(train: Examples, targets: Examples) -> None:
    process = made({"learning_rate": 1e30}, train, targets)
    forward, reverse = products(process)
    assert not forward.isfinite().all()
    assert not reverse.isfinite().all()
