"""Compiled steps and products of convolutional networks against those of torch, each other, and single examples."""

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
    convolutional,
    forward_products,
    process_of,
    reverse_products,
)
from modeldiff_core.metagradients.convolutional import ConvolutionalProcess
from modeldiff_core.metagradients.process import State, zeros_like
from modeldiff_core.metagradients.sgd import parts_of
from modeldiff_core.training import Execution, Task
from modeldiff_core.training.augmentations import Flip, Noise, Translate
from modeldiff_core.training.native import native_library
from modeldiff_core.training.settings import Network
from tests.modeldiff_core.metagradients.cases import CLASSES, RECIPES, TARGETS, TRAIN, random

CNN = replace(RECIPES["cnn"], learning_rate=0.02, epochs=5)
CASES: dict[str, dict[str, Any]] = {
    "as shipped": {"network": Network("cnn", (16, 32))},
    "lenet": {"network": Network("lenet")},
    "three convolutions, no whole vectors": {"network": Network("cnn", (20, 17, 5)), "batch_size": 3},
    "smoothed, decayed, other momentum": {"label_smoothing": 0.1, "weight_decay": 0.02, "momentum": 0.5},
    "one convolution, no momentum": {"network": Network("cnn", (7,)), "momentum": 0.0},
    "augmented, of subsets": {
        "augmentations": (Flip(), Translate(), Noise(deviation=0.05)),
        "mean": "subset",
        "scale": "subset",
        "test_time": "flip",
    },
}
pytestmark = pytest.mark.skipif(native_library() is None, reason="no compiler")


def made(
    changes: dict[str, Any],
    train: Examples,
    targets: Examples,
    calculus: Calculus | None = None,
    execution: Execution | None = None,
) -> Process:
    task = Task(replace(CNN, **changes), 5, train, targets, CLASSES)
    return process_of(task, Point.everywhere(TRAIN, 0.5), 0, execution or Execution(), calculus)


def compiled(changes: dict[str, Any], train: Examples, targets: Examples) -> ConvolutionalProcess:
    process = made(changes, train, targets)
    assert isinstance(process, ConvolutionalProcess)
    assert process.compiled
    return process


def products(process: Process) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the last parameters, forward and reverse products."""
    trajectory = Trajectory(process)
    forward, reverse = forward_products(trajectory, random(3, TRAIN)), None
    reverse = reverse_products(trajectory, random(4, TARGETS, seed=1))
    values = parts_of(trajectory.last)[0]
    return torch.cat([value.flatten() for value in values.values()])[None], forward, reverse


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected).norm(dim=1).max() / expected.double().norm(dim=1).min())


@pytest.mark.parametrize("name", CASES)
def test_steps_and_products_are_those_of_torch(name: str, train: Examples, targets: Examples) -> None:
    found = products(compiled(CASES[name], train, targets))
    traced = products(made(CASES[name], train, targets, execution=Execution(native=False)))
    exact = products(made(CASES[name], train, targets, Calculus("float64")))
    for one, of_torch, wanted in zip(found, traced, exact, strict=True):
        assert apart(one, wanted) < 1e-5
        assert apart(one, of_torch.double()) < 1e-5
        assert not torch.equal(one, of_torch)


@pytest.mark.parametrize("name", CASES)
def test_reverse_products_are_adjoint_to_forward_ones(name: str, train: Examples, targets: Examples) -> None:
    directions, probes = random(3, TRAIN), random(4, TARGETS, seed=1)
    _, forward, reverse = products(compiled(CASES[name], train, targets))
    difference = probes @ forward.double().T - reverse.double() @ directions.T
    assert float((difference.abs() / (probes.norm(dim=1)[:, None] * forward.double().norm(dim=1))).max()) < 1e-6


def test_a_factor_of_the_logits_is_taken(train: Examples, targets: Examples) -> None:
    process = compiled({}, train, targets)
    process.scale = 0.3
    values = parts_of(process.initial())[0]
    halved = {name: value * 0.3 if name.startswith("head") else value for name, value in values.items()}
    plain, batch = compiled({}, train, targets), process.batch(0)
    weights = process.weights[batch.members]
    found, wanted = process._run(values, weights, batch), plain._run(halved, weights, batch)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name] * 0.3 if name.startswith("head") else wanted[name])
    along = {name: torch.randn_like(value)[None] for name, value in values.items()}
    scaled = {name: value * 0.3 if name.startswith("head") else value for name, value in along.items()}
    torch.testing.assert_close(_losses(process, values, along), _losses(plain, halved, scaled))


def _losses(process: ConvolutionalProcess, values: State, along: State) -> torch.Tensor:
    """Return the change of the examples' losses along a direction of the parameters."""
    state = {name: value.clone() for name, value in process.initial().items()}
    state |= {f"value:{name}": value for name, value in values.items()}
    cotangents = zeros_like(state, 1) | {f"velocity:{name}": value for name, value in along.items()}
    gradient = torch.zeros(1, TRAIN)
    process.carry_back(iter([(0, state)]), cotangents, gradient)
    assert gradient.any()
    return gradient


def test_what_is_not_compiled_goes_by_torch(
    train: Examples, targets: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not isinstance(made({}, train, targets, execution=Execution(native=False)), ConvolutionalProcess)
    assert not isinstance(
        made({"network": Network("cnn", (3, 4), trainable="head")}, train, targets), ConvolutionalProcess
    )
    in_double = made({}, train, targets, Calculus("float64"))
    assert isinstance(in_double, ConvolutionalProcess)
    assert not in_double.compiled
    without_compiler = compiled({}, train, targets)
    monkeypatch.setattr(convolutional, "native_library", lambda: None)
    assert not without_compiler.compiled
    assert all(one.isfinite().all() and one.any() for one in products(without_compiler))


def test_each_probe_has_the_same_bits_alone(train: Examples, targets: Examples) -> None:
    process = compiled({}, train, targets)
    trajectory = Trajectory(process)
    trajectory.run()
    directions = random(3, TRAIN).float()

    def carried(some: torch.Tensor) -> State:
        return process.carry(trajectory.forward(), zeros_like(process.initial(), len(some)), some)

    together, alone = carried(directions), [carried(one[None]) for one in directions]
    for name, tangents in together.items():
        assert torch.equal(tangents, torch.cat([one[name] for one in alone]))
        assert tangents.any()

    def carried_back(first: int, last: int) -> torch.Tensor:
        gradient = torch.zeros(last - first, TRAIN)
        process.carry_back(
            trajectory.backward(), {name: value[first:last] for name, value in together.items()}, gradient
        )
        return gradient

    assert torch.equal(carried_back(0, 3), torch.cat([carried_back(at, at + 1) for at in range(3)]))


def test_states_that_are_computed_again_give_the_same_bits(train: Examples, targets: Examples) -> None:
    found = []
    for slots in (3, 1000):
        trajectory = Trajectory(compiled({}, train, targets), slots)
        reverse = reverse_products(trajectory, random(2, TARGETS, seed=1))
        found.append((reverse, forward_products(trajectory, random(2, TRAIN))))
    beside = forward_products(Trajectory(compiled({}, train, targets)), random(2, TRAIN))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert torch.equal(found[0][1], beside)


def test_weights_count_in_steps(train: Examples, targets: Examples) -> None:
    process, plain = compiled({}, train, targets), made({}, train, targets, execution=Execution(native=False))
    state, batch = process.initial(), process.batch(0)
    weights = torch.rand(len(batch.members))
    moved, wanted = process.step(state, weights, batch), plain.step(state, weights, plain.batch(0))
    other = process.step(state, process.weights[batch.members], batch)
    for name in state:
        torch.testing.assert_close(moved[name], wanted[name], atol=1e-6, rtol=1e-4)
    assert not torch.equal(moved["velocity:head.weight"], other["velocity:head.weight"])


def test_products_that_are_not_finite_are_told(train: Examples, targets: Examples) -> None:
    _, forward, reverse = products(compiled({"learning_rate": 1e30}, train, targets))
    assert not forward.isfinite().all()
    assert not reverse.isfinite().all()
