"""Products through whole trainings against finite differences, each other, and plain differentiation."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modeldiff_core.data import Examples
from modeldiff_core.metagradients import (
    Calculus,
    Point,
    Process,
    Trajectory,
    forward_products,
    networks,
    process_of,
    reverse_products,
)
from modeldiff_core.metagradients.dense import DenseProcess
from modeldiff_core.metagradients.networks import ImageInputs
from modeldiff_core.metagradients.process import Process as Plain
from modeldiff_core.metagradients.sgd import SgdProcess
from modeldiff_core.models import ARCHITECTURES, Architecture, Head, Net, Shape
from modeldiff_core.training import Execution, Task
from modeldiff_core.training.augmentations import Translate
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd
from tests.modeldiff_core.metagradients.cases import CLASSES, MLP, RECIPES, TARGETS, TRAIN, random, retrained

WRITTEN_OUT = {name: recipe for name, recipe in RECIPES.items() if recipe.network.kind == "mlp"}
"""Recipes whose products are written out; those of the others are traced."""

EXACT = Calculus(precision="float64")
Make = Callable[..., Process]


class Smooth(Net):
    """Convolution, batch normalization if asked for, GELU, average pooling and a head."""

    def __init__(self, shape: Shape, widths: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(shape[2], widths[0], 3, padding=1)
        self.norm = nn.BatchNorm2d(widths[0]) if widths[1] > 1 else nn.Identity()
        self.head = Head(widths[0] * 9, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(F.avg_pool2d(F.gelu(self.norm(self.conv(images))), 4).flatten(1))
        return out


@pytest.fixture
def smooth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the smooth network."""
    monkeypatch.setitem(ARCHITECTURES._builtin, "smooth", Architecture(Smooth, (4, 1)))


@pytest.mark.usefixtures("smooth")
@pytest.mark.parametrize(
    ("widths", "changes", "statistics"),
    [
        ((4, 1), {}, "full"),
        ((3, 2), {}, "full"),
        ((3, 2), {"momentum": 0.0, "test_time": "flip"}, "weighted"),
        (
            (4, 1),
            {"label_smoothing": 0.1, "weight_decay": 0.01, "augmentations": (Translate(),), "schedule": "cosine"},
            "full",
        ),
    ],
    ids=["plain", "normalized", "weighted, mirrored", "smoothed, decayed and augmented"],
)
def test_products_are_finite_differences_of_whole_trainings(
    widths: tuple[int, int], changes: dict[str, object], statistics: str, train: Examples, targets: Examples
) -> None:
    recipe = replace(MLP, epochs=15, batch_size=5, network=Network("smooth", widths))
    recipe = replace(recipe, **changes)  # type: ignore[arg-type]
    calculus = Calculus("float64", statistics)  # type: ignore[arg-type]
    process = process_of(
        Task(recipe, 5, train, targets, CLASSES), Point.everywhere(TRAIN, 0.5), 0, Execution(), calculus
    )
    assert process.steps > 50
    direction, at, step = random(TRAIN), process.weights.clone(), 1e-4
    (found,) = forward_products(Trajectory(process), direction[None])
    above, below = (retrained(process, at + sign * step * direction) for sign in (1, -1))
    expected = (above - below) / (2 * step)
    assert expected.abs().min() > 1e-3
    assert (found - expected).norm() <= 1e-4 * expected.norm()
    process.weights = at
    psi = random(TARGETS, seed=1)
    (gradient,) = reverse_products(Trajectory(process), psi[None])
    assert torch.dot(gradient, direction) == pytest.approx(float(psi @ expected), rel=1e-4)


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
def test_forward_and_reverse_products_are_adjoint(task: Task, precision: str, tolerance: float) -> None:
    calculus = Calculus(precision)  # type: ignore[arg-type]
    trajectory = Trajectory(process_of(task, Point.everywhere(TRAIN, 0.5), 3, Execution(), calculus))
    directions, probes = random(4, TRAIN), random(3, TARGETS, seed=1)
    forward = forward_products(trajectory, directions).double()
    backward = reverse_products(trajectory, probes).double()
    size = probes.norm(dim=1)[:, None] * forward.norm(dim=1)
    assert size.min() > 1e-3
    assert forward.isfinite().all()
    assert ((probes @ forward.T - backward @ directions.T).abs() <= tolerance * size).all()


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
def test_products_are_adjoint_after_500_steps(
    precision: str, tolerance: float, train: Examples, targets: Examples
) -> None:
    recipe = replace(MLP, epochs=125, learning_rate=0.02, label_smoothing=0.1)
    process = process_of(
        Task(recipe, 5, train, targets, CLASSES),
        Point.everywhere(TRAIN, 0.5),
        0,
        Execution(),
        Calculus(precision),  # type: ignore[arg-type]
    )
    assert process.steps == 500
    trajectory = Trajectory(process, process.steps)
    directions, probes = random(2, TRAIN), random(2, TARGETS, seed=1)
    forward = forward_products(trajectory, directions).double()
    backward = reverse_products(trajectory, probes).double()
    size = probes.norm(dim=1)[:, None] * forward.norm(dim=1)
    assert size.min() > 1e-3
    assert ((probes @ forward.T - backward @ directions.T).abs() <= tolerance * size).all()


@pytest.mark.parametrize("name", ["mlp", "deep mlp, plain descent", "smoothed and augmented"])
def test_a_step_that_is_written_out_has_the_bits_of_the_plain_one(
    name: str, train: Examples, targets: Examples
) -> None:
    task = Task(RECIPES[name], 5, train, targets, CLASSES)
    process = process_of(task, Point.everywhere(TRAIN, 0.5), 0, Execution())
    assert isinstance(process, DenseProcess)
    state = process.initial()
    for step in range(4):
        batch = process.batch(step)
        weights = process.weights[batch.members]
        plain = SgdProcess.step(process, state, weights, batch)
        state = process.step(state, weights, batch)
        assert state.keys() == plain.keys()
        assert all(torch.equal(state[key], plain[key]) for key in plain)
    assert any(not torch.equal(state[key], value) for key, value in process.initial().items())


@pytest.mark.parametrize("name", ["mlp", "cnn", "smoothed and augmented"])
def test_inputs_that_never_change_are_made_once(
    name: str, train: Examples, targets: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batches() -> list[Tensor]:
        process = process_of(
            Task(RECIPES[name], 5, train, targets, CLASSES), Point.everywhere(TRAIN, 0.5), 0, Execution()
        )
        assert isinstance(process, SgdProcess)
        assert isinstance(process.data.inputs, ImageInputs)
        same = process.data.inputs.prepared_bytes > 0
        assert same == (networks.PREPARED > 0 and not RECIPES[name].augmentations)
        return [process.batch(step).data["x"] for step in range(5)]

    kept = batches()
    monkeypatch.setattr(networks, "PREPARED", 0)
    for one, other in zip(kept, batches(), strict=True):
        assert one.any()
        assert torch.equal(one, other)


@pytest.mark.parametrize("recipe", WRITTEN_OUT.values(), ids=list(WRITTEN_OUT), indirect=True)
@pytest.mark.parametrize("at", ["everywhere", "subset"])
def test_written_out_products_are_the_traced_ones(task: Task, at: str) -> None:
    mask = torch.arange(TRAIN).numpy() % 2 == 0
    point = Point.everywhere(TRAIN, 0.3) if at == "everywhere" else Point.subset(mask)
    process = process_of(task, point, 0, Execution(), EXACT)
    assert type(process) is DenseProcess
    directions, probes = random(2, TRAIN), random(2, TARGETS, seed=1)
    written = forward_products(Trajectory(process), directions), reverse_products(Trajectory(process), probes)
    for base in (SgdProcess, Plain):
        for name in ("gradient", "push", "pull", "push_gradient", "pull_gradient"):
            if hasattr(base, name):
                setattr(process, name, getattr(base, name).__get__(process))
        traced = forward_products(Trajectory(process), directions), reverse_products(Trajectory(process), probes)
        for one, other in zip(written, traced, strict=True):
            assert other.abs().max() > 1e-3
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
    if at == "subset":
        assert not written[1][:, ~torch.from_numpy(mask)].any(), "what is not trained on has no derivative"


def test_targets_evaluated_in_parts_give_the_same_products(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    trajectory = Trajectory(process_of(task, Point.everywhere(TRAIN, 0.5), 0, Execution(), EXACT))
    directions, probes = random(2, TRAIN), random(2, TARGETS, seed=1)
    whole = forward_products(trajectory, directions), reverse_products(trajectory, probes)
    monkeypatch.setattr(type(trajectory.process), "targets_at_once", lambda self, probes: 3)
    parts = forward_products(trajectory, directions), reverse_products(trajectory, probes)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_trainings_have_numbers_of_their_own(train: Examples, targets: Examples) -> None:
    task = Task(Sgd(network=Network("mlp", (4,)), epochs=1, batch_size=8), 0, train, targets, CLASSES)
    last = [
        Trajectory(process_of(task, Point.everywhere(TRAIN, 0.5), number, Execution())).last for number in (0, 0, 1)
    ]
    same, other = ([torch.equal(last[0][name], state[name]) for name in last[0]] for state in last[1:])
    assert all(same)
    assert not any(other)


def test_passes_are_kept_with_the_states_that_they_start_from(train: Examples, targets: Examples) -> None:
    task = Task(MLP, 5, train, targets, CLASSES)
    directions, probes = random(2, TRAIN), random(2, TARGETS, seed=1)
    found = []
    for passes in (0, 2**26):
        process = process_of(task, Point.everywhere(TRAIN, 0.5), 0, Execution())
        assert isinstance(process, DenseProcess)
        process.passes = passes
        trajectory = Trajectory(process, process.steps)
        trajectory.run()
        assert len(process._runs) == (process.steps if passes else 0)
        found.append((forward_products(trajectory, directions), reverse_products(trajectory, probes)))
        state, batch = process.initial(), process.batch(0)
        halved = process.step(state, process.weights[batch.members] / 2, batch)
        assert not torch.equal(next(iter(halved.values())), next(iter(trajectory._kept[1].values())))
        del trajectory, state, halved
        assert len(process._runs) <= 1  # the state before the first step belongs to the process
    for one, other in zip(*found, strict=True):
        assert one.any()
        torch.testing.assert_close(one, other, rtol=0, atol=0)
