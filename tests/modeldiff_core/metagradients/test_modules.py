"""Trainings of kind torch: against the ordinary training, finite differences of whole trainings, and each other."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.metagradients import (
    Calculus,
    Point,
    Process,
    Trajectory,
    check_differentiable,
    forward_products,
    process_of,
    reverse_products,
)
from modeldiff_core.metagradients.modules import module_process
from modeldiff_core.metagradients.optimizers import square_root
from modeldiff_core.settings import build_settings
from modeldiff_core.training import Execution, Task, train_subset_models
from modeldiff_core.training.modules import TorchRecipe
from tests.modeldiff_core.metagradients.cases import CLASSES, TARGETS, TRAIN, examples, random, retrained

SIZES = (12, 12, 1), CLASSES
CPU = torch.device("cpu")
SOURCE = """
import random

import torch
from torch import nn
from torch.nn import functional as F


def smooth(norm=False, drop=0.0):
    layers = [nn.Conv2d(1, 3, 3, stride=2), nn.BatchNorm2d(3) if norm else nn.Identity(), nn.GELU(), nn.Dropout(drop)]
    tail = [nn.Flatten(), nn.Linear(75, 5), nn.BatchNorm1d(5) if norm else nn.Identity(), nn.Tanh(), nn.Linear(5, 3)]
    return nn.Sequential(*layers, *tail)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.TransformerEncoderLayer(12, 2, 8, dropout=0.0, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.block(x[:, 0]).mean(1))


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(144, 3)

    def forward(self, x):
        return self.head(F.dropout(x.flatten(1), 0.5, self.training))


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(144, 3)

    def forward(self, x):
        return self.head(x.flatten(1))


def Instance():
    norm = nn.InstanceNorm2d(2, track_running_stats=True)
    return nn.Sequential(nn.Conv2d(1, 2, 12), norm, nn.Flatten(), nn.Linear(2, 3))


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(144, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        return self.head(x.flatten(1))


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


class Opaque(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(144, 3)

    def forward(self, x):
        return Twice.apply(self.head(x.flatten(1)))


class Shaken(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(144, 3)

    def forward(self, x):
        return self.head(x.flatten(1)) * (random.random() if self.training else 1.0)
"""


@pytest.fixture(autouse=True)
def smooth_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "smooth_nets.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("smooth_nets", None)


def adam(**settings: Any) -> dict[str, Any]:
    return {"optimizer": "Adam", "optimizer_arguments": {"lr": 0.02, "eps": 1e-3, **settings}}


SGD: Mapping[str, Any] = {"optimizer_arguments": {"lr": 0.1, "momentum": 0.9}}
ONE_CYCLE = {"max_lr": 0.1, "total_steps": 100}
CASES: dict[str, dict[str, Any]] = {
    "plain descent": {"optimizer_arguments": {"lr": 0.3}},
    "nesterov, decay": {
        "optimizer_arguments": {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        "network_arguments": {"norm": True},
    },
    "damped, clipped": {
        "optimizer_arguments": {"lr": 0.2, "momentum": 0.5, "dampening": 0.3, "maximize": False},
        "clip": 0.3,
    },
    "one cycle of rate and momentum": {
        **SGD,
        "scheduler": "OneCycleLR",
        "scheduler_arguments": ONE_CYCLE,
        "scheduler_every": "batch",
    },
    "adam, mixed and smoothed": {
        **adam(weight_decay=0.01),
        "mixup": 0.4,
        "cutmix": 0.5,
        "label_smoothing": 0.1,
        "augmentations": ({"kind": "flip"},),
    },
    "adamw, jitter and erasing": {
        **adam(weight_decay=0.1),
        "optimizer": "AdamW",
        "scheduler": "CosineAnnealingLR",
        "scheduler_arguments": {"T_max": 4},
        "jitter": 0.2,
        "erasing": 0.3,
        "network_arguments": {"norm": True},
    },
    "attention": {"network": "Attention", **adam()},
}


def task_of(settings: Mapping[str, Any], train: Examples, targets: Examples) -> Task:
    given = {"network": "smooth", "epochs": 4, "batch_size": 6, **settings}
    given["network"] = f"smooth_nets:{given['network']}"
    return Task(build_settings(TorchRecipe, given, "recipe"), 5, train, targets, CLASSES)


def exact(settings: Mapping[str, Any], train: Examples, targets: Examples, statistics: str = "full") -> Process:
    """Return a training at weight 1/2 on every example, in float64."""
    calculus = Calculus("float64", statistics)  # type: ignore[arg-type]
    return process_of(task_of(settings, train, targets), Point.everywhere(TRAIN, 0.5), 0, Execution(), calculus)


@pytest.mark.parametrize("settings", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("size", [TRAIN, 25])
def test_at_weight_one_margins_are_those_of_the_trainer(
    settings: dict[str, Any], size: int, train: Examples, targets: Examples
) -> None:
    task, mask = task_of(settings, train, targets), np.arange(TRAIN) < size
    expected = train_subset_models(task, mask[None], range(3, 4), Execution()).margins[0]
    assert expected.std() > 0.03
    process = module_process(task, Point.subset(mask), 3, CPU, torch.float32, weighted=False)
    found = process.outputs(Trajectory(process).last, slice(0, TARGETS)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5 * expected.std(), rtol=2e-5)


FINITE = [(name, statistics) for name in CASES for statistics in ("full", "weighted")]
FINITE = [(name, how) for name, how in FINITE if how == "full" or "network_arguments" in CASES[name]]


@pytest.mark.parametrize(("name", "statistics"), FINITE)
def test_products_are_finite_differences_of_whole_trainings(
    name: str, statistics: str, train: Examples, targets: Examples
) -> None:
    process = exact(CASES[name], train, targets, statistics)
    direction, found = random(TRAIN), checked_differences(process)
    psi = random(TARGETS, seed=1)
    (gradient,) = reverse_products(Trajectory(process), psi[None])
    assert torch.dot(gradient, direction) == pytest.approx(float(psi @ found), rel=1e-9)


def checked_differences(process: Process, step: float = 1e-6) -> Tensor:
    """Assert that a forward product is the difference of whole trainings, and return it."""
    direction, at = random(TRAIN), process.weights.clone()
    (found,) = forward_products(Trajectory(process), direction[None])
    above, below = (retrained(process, at + sign * step * direction) for sign in (1, -1))
    expected = (above - below) / (2 * step)
    assert expected.abs().min() > 1e-3
    assert (found - expected).norm() <= 1e-4 * expected.norm()
    process.weights = at
    return found


def test_parameters_without_a_gradient_so_far_have_a_derivative_in_adam(targets: Examples) -> None:
    """Black pixels at mean 0 leave second moments at 0, where the square root has no derivative; the step has one."""
    train = examples(TRAIN, 0)
    train.images[:, :, 6:] = 0
    settings = {"network": "Linear", "mean": 0.0, "scale": 1.0, **adam(eps=1e-2)}
    process = exact(settings, train, targets)
    last = Trajectory(process).last
    assert (last["square:head.weight"] == 0).any()
    found = checked_differences(process)
    (gradient,) = reverse_products(Trajectory(process), random(TARGETS, seed=1)[None])
    assert gradient.isfinite().all()
    assert torch.dot(gradient, random(TRAIN)) == pytest.approx(float(random(TARGETS, seed=1) @ found), rel=1e-9)
    at = torch.tensor([0.0, 4.0], requires_grad=True)
    square_root(at).sum().backward()
    assert at.grad is not None
    assert at.grad.tolist() == [0.0, 0.25]


def test_dropout_takes_the_same_step_each_time(train: Examples, targets: Examples) -> None:
    dropped = {**SGD, "network_arguments": {"drop": 0.4}}
    process = exact(dropped, train, targets)
    checked_differences(process)
    twice = [Trajectory(process, slots).last for slots in (3, process.steps)]
    assert all(torch.equal(value, twice[1][name]) for name, value in twice[0].items())
    without = Trajectory(exact(SGD, train, targets)).last
    assert not any(torch.equal(without[name], value) for name, value in twice[0].items())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "RMSprop"}, r"recipe.optimizer: expected SGD, Adam or AdamW, .* got 'RMSprop'"),
        (adam(amsgrad=True), "recipe.optimizer_arguments: expected no amsgrad"),
        ({"scheduler": "ReduceLROnPlateau"}, "recipe.scheduler: .* number of the step, got 'ReduceLROnPlateau'"),
        ({"network": "Hidden"}, r"recipe.network: .*at random in layers nn.Dropout alone, got 'smooth_nets:Hidden'"),
        ({"network": "Counting"}, r"recipe.network: .*changes nothing but running .*buffer seen"),
        ({"network": "Shaken"}, r"recipe.network: .*at random in layers nn.Dropout alone, got 'smooth_nets:Shaken'"),
        ({"network": "Opaque"}, r"recipe.network: .*torch.func can differentiate .*RuntimeError: .*setup_context"),
        ({"network": "Instance"}, r"recipe.network: .*BatchNorm1d.* got '1: InstanceNorm2d'"),
    ],
)
def test_what_cannot_be_differentiated_is_one_sentence(
    settings: dict[str, Any], words: str, train: Examples, targets: Examples
) -> None:
    algorithm = task_of(settings, train, targets).algorithm
    with pytest.raises(ConfigError, match=words) as caught:
        check_differentiable(algorithm, "margin", sizes=SIZES)
    assert "\n" not in str(caught.value)


def test_a_schedule_that_ends_early_is_named(train: Examples, targets: Examples) -> None:
    short = {"scheduler": "OneCycleLR", "scheduler_arguments": {"max_lr": 0.1, "total_steps": 3}, **SGD}
    with pytest.raises(ConfigError, match=r"recipe.scheduler: expected a schedule of 12 steps .*OneCycleLR"):
        exact(short, train, targets)


def test_what_can_be_differentiated_passes(train: Examples, targets: Examples) -> None:
    for settings in CASES.values():
        check_differentiable(task_of(settings, train, targets).algorithm, "margin", sizes=SIZES)
