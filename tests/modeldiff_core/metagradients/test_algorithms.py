"""A user's own algorithm is differentiated through its steps; what cannot be is refused with the reason."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.metagradients import (
    Batch,
    Point,
    Process,
    Trajectory,
    check_differentiable,
    forward_products,
    process_of,
    reverse_products,
)
from modeldiff_core.metagradients.process import State
from modeldiff_core.training import Execution, Task
from modeldiff_core.training.sklearn_classifiers import SklearnClassifier
from tests.modeldiff_core.metagradients.cases import CLASSES, MLP, TRAIN


class RidgeSteps(Process):
    """Gradient steps on weighted squared errors of a linear model, every example in every step."""

    def __init__(self, x: Tensor, y: Tensor, shown: Tensor, weights: Tensor) -> None:
        self.steps, self.units, self.targets = 400, len(x), len(shown)
        self.x, self.y, self.shown, self.weights = x, y, shown, weights

    def initial(self) -> State:
        return {"beta": self.x.new_zeros(self.x.shape[1])}

    def batch(self, step: int) -> Batch:
        return Batch(torch.arange(self.units))

    def step(self, state: State, weights: Float[Tensor, " batch"], batch: Batch) -> State:
        gradient = self.x.T @ (weights * (self.x @ state["beta"] - self.y)) + state["beta"]
        return {"beta": state["beta"] - 0.2 * gradient}

    def outputs(self, state: State, targets: slice) -> Float[Tensor, " chosen"]:
        return self.shown[targets] @ state["beta"]


@dataclass(frozen=True)
class Ridge:
    """A user's algorithm, of which only what metagradients ask for is written."""

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None: ...

    def train(self, *arguments: object) -> None: ...

    def load(self, *arguments: object) -> None: ...

    def process(self, task: Task, point: Point, model: int, execution: Execution) -> Process:
        x, shown = (
            torch.from_numpy(one.images.reshape(len(one), -1)[:, :3].astype(float) / 255)
            for one in (task.train, task.targets)
        )
        return RidgeSteps(x, torch.from_numpy(task.train.labels).double(), shown, torch.from_numpy(point.weights()))


def test_an_algorithm_of_ones_own_takes_part(train: Examples, targets: Examples) -> None:
    """At the optimum β = (XᵀWX + I)⁻¹XᵀWy, ∂β/∂w_i = (XᵀWX + I)⁻¹x_i(y_i − x_iᵀβ)."""
    task = Task(Ridge(), 0, train, targets, CLASSES)  # type: ignore[arg-type]
    process = process_of(task, Point.everywhere(TRAIN, 0.5), 0, Execution())
    assert isinstance(process, RidgeSteps)
    x, y, w = process.x, process.y, process.weights
    inverse = torch.linalg.inv(x.T @ (w[:, None] * x) + torch.eye(3))
    beta = inverse @ x.T @ (w * y)
    expected = process.shown @ inverse @ (x * (y - x @ beta)[:, None]).T
    assert expected.abs().max() > 1e-3
    trajectory = Trajectory(process)
    torch.testing.assert_close(forward_products(trajectory, torch.eye(TRAIN).double()).T, expected)
    torch.testing.assert_close(reverse_products(trajectory, torch.eye(len(targets)).double()), expected)


def test_what_cannot_be_differentiated_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"regression.estimator: .* got 'SklearnClassifier'.*method `process`"):
        check_differentiable(SklearnClassifier(), "margin")
    for output in ("accuracy", "logits"):
        with pytest.raises(ConfigError, match="output: expected one differentiable number"):
            check_differentiable(MLP, output)
    check_differentiable(MLP, "log_odds")


def test_points_are_checked() -> None:
    with pytest.raises(ConfigError, match="masks"):
        Point.subset(np.zeros(4, bool))
    for fraction in (0.0, 1.5):
        with pytest.raises(ConfigError, match="subsets.fraction"):
            Point.everywhere(4, fraction)
    assert Point.subset(np.array([True, False, True])).weights().tolist() == [1, 0, 1]


def test_a_point_has_the_steps_of_its_subsets() -> None:
    for train, fraction, size in ((1000, 0.5, 50), (1000, 0.3, 50), (60_000, 0.5, 64), (90, 0.25, 7)):
        subset = -(-round(train * fraction) // size)
        assert len(Point.everywhere(train, fraction).batches(size)) == subset
