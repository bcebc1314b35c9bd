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
from modeldiff_core.metagradients.modules import ModuleProcess, module_process
from modeldiff_core.metagradients.optimizers import square_root
from modeldiff_core.training import Execution, Task, train_subset_models
from modeldiff_core.training.modules import TorchRecipe
from tests.modeldiff_core.metagradients.cases import CLASSES, TARGETS, TRAIN

SIZES = (12, 12, 1), CLASSES
SOURCE = """
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


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(144, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        return self.head(x.flatten(1))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(144, 3)

    def forward(self, x):
        out = self.head(x.flatten(1))
        return -out if float(out.sum()) > 0 else out
"""


@pytest.fixture(autouse=True)
def smooth_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "smooth_nets.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("smooth_nets", None)


def recipe(network: str = "smooth", **settings: Any) -> TorchRecipe:
    return TorchRecipe(**{"network": f"smooth_nets:{network}", "epochs": 4, "batch_size": 6, **settings})


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


def made(settings: Mapping[str, Any]) -> TorchRecipe:
    from modeldiff_core.settings import build_settings

    return build_settings(TorchRecipe, {**vars_of(recipe()), **settings, "network": named(settings)}, "recipe")


def named(settings: Mapping[str, Any]) -> str:
    return f"smooth_nets:{settings.get('network', 'smooth')}"


def vars_of(one: TorchRecipe) -> dict[str, Any]:
    return {"epochs": one.epochs, "batch_size": one.batch_size}


def task_of(settings: Mapping[str, Any], train: Examples, targets: Examples) -> Task:
    return Task(made(settings), 5, train, targets, CLASSES)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def retrained(process: Process, weights: Tensor) -> Tensor:
    """Return the outputs after a training with other weights, divided by the same numbers."""
    process.weights = weights
    state = process.initial()
    for step in range(process.steps):
        batch = process.batch(step)
        state = process.step(state, weights[batch.members], batch)
    return process.outputs(state, slice(0, process.targets))


CPU = torch.device("cpu")


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


@pytest.mark.parametrize("settings", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("weighted", [False, True])
def test_products_are_finite_differences_of_whole_trainings(
    settings: dict[str, Any], weighted: bool, train: Examples, targets: Examples
) -> None:
    if weighted and not settings.get("network_arguments"):
        pytest.skip("no batch normalization")
    task = task_of(settings, train, targets)
    calculus = Calculus("float64", "weighted" if weighted else "full")
    process = process_of(task, Point.everywhere(TRAIN, 0.5), 0, Execution(), calculus)
    direction, at, step = random(TRAIN), process.weights.clone(), 1e-6
    (found,) = forward_products(Trajectory(process), direction[None])
    above, below = (retrained(process, at + sign * step * direction) for sign in (1, -1))
    expected = (above - below) / (2 * step)
    assert expected.abs().min() > 1e-3
    assert (found - expected).norm() <= 1e-4 * expected.norm()
    process.weights = at
    psi = random(TARGETS, seed=1)
    (gradient,) = reverse_products(Trajectory(process), psi[None])
    assert torch.dot(gradient, direction) == pytest.approx(float(psi @ found), rel=1e-9)
