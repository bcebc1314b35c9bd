"""TRAK against its closed form for linear softmax models, and on networks whose gradients are the package's own."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modeldiff_core.data import Examples
from modeldiff_core.data.digits import Digits
from modeldiff_core.datamodels.trak import DampedTrak, Trak
from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation import linear_datamodeling_score
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task, train_ensemble, train_subset_models
from modeldiff_core.training.crops import Resize
from modeldiff_core.training.gradients import TorchModels
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.sklearn_classifiers import SklearnClassifier

CLASSES, SIDE = 3, 2


@dataclass(frozen=True)
class Linear:
    """Softmax models of pixels in 0..1; an algorithm of one's own with gradients."""

    def check(self, image_shape: Any, n_classes: int) -> None: ...

    def train(self, *_: Any) -> Any: ...

    def load(self, *_: Any) -> Any: ...

    def torch_models(
        self, weights: Mapping[str, np.ndarray], image_shape: Any, n_classes: int, execution: Execution
    ) -> TorchModels:
        def inputs(images: np.ndarray, rows: slice) -> torch.Tensor:
            return torch.from_numpy(images[rows]).flatten(1).float() / 255

        states = tuple({n: torch.from_numpy(v[row]) for n, v in weights.items()} for row in range(len(weights["bias"])))
        return TorchModels(nn.Linear(SIDE * SIDE, n_classes), states, (inputs,) * len(states), ("weight", "bias"))


def random_examples(count: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, SIDE, SIDE, 1)).astype(np.uint8)
    return Examples(images, rng.integers(0, CLASSES, count))


def closed_form(examples: Examples, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of log p/(1 − p) by the parameters, [examples, parameters], and 1 − p."""
    x = examples.images.reshape(len(examples), -1) / 255
    logits = x @ weight.T + bias
    own = np.eye(CLASSES, dtype=bool)[examples.labels]
    others = np.exp(np.where(own, -np.inf, logits))
    by_logit = np.where(own, 1.0, -others / others.sum(1, keepdims=True))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return np.concatenate([(by_logit[:, :, None] * x[:, None]).reshape(len(x), -1), by_logit], 1), 1 - p[own]


def projection(parameters: int, dimensions: int, block: int, seed: int, model: int) -> np.ndarray:
    """The matrix that the package documents: normal numbers, by blocks of columns with a seed each."""
    blocks = []
    for i in range(-(-dimensions // block)):
        generator = torch.Generator().manual_seed(seed + 1000 * i + 100_000 * model)
        blocks.append(torch.empty(parameters, block).normal_(generator=generator).numpy())
    return np.concatenate(blocks, 1)[:, :dimensions]


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_linear_softmax_models_follow_the_closed_form(ridge: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeldiff_core.datamodels.trak.GRADIENTS", 15 * 7)  # batches of seven
    train, targets = random_examples(40, 0), random_examples(9, 1)
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(3, CLASSES, SIDE * SIDE)).astype(np.float32)
    bias = rng.normal(size=(3, CLASSES)).astype(np.float32)
    shards = [{"weight": weight[:2], "bias": bias[:2]}, {"weight": weight[2:], "bias": bias[2:]}]
    found = Trak(dimensions=5, ridge=ridge, seed=3).attribute(Task(Linear(), 0, train, targets, CLASSES), shards)
    products, left = [], []
    for model in range(3):
        matrix = projection(15, 5, 2, 3, model) / np.sqrt(15)
        of_train, one_minus_p = closed_form(train, weight[model], bias[model])
        of_targets, _ = closed_form(targets, weight[model], bias[model])
        phi, psi = of_train @ matrix, of_targets @ matrix
        inverse = np.linalg.inv(phi.T @ phi + ridge * np.eye(5))
        products.append(psi @ (inverse / np.abs(inverse).mean()) @ phi.T)
        left.append(one_minus_p)
    expected = np.mean(products, 0) * np.mean(left, 0)
    assert expected.shape == (9, 40)
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(found.weights, expected, atol=2e-3 * np.abs(expected).max())
    assert not found.bias.any()
    assert np.isnan(found.lambdas).all()


def test_a_ridge_in_units_of_the_gradients_follows_the_closed_form() -> None:
    train, targets = random_examples(40, 0), random_examples(9, 1)
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(1, CLASSES, SIDE * SIDE)).astype(np.float32)
    bias = rng.normal(size=(1, CLASSES)).astype(np.float32)
    task, given = Task(Linear(), 0, train, targets, CLASSES), [{"weight": weight, "bias": bias}]
    found = DampedTrak(dimensions=5, seed=3, damping=0.7).attribute(task, given).weights
    matrix = projection(15, 5, 2, 3, 0) / np.sqrt(15)
    of_train, one_minus_p = closed_form(train, weight[0], bias[0])
    phi, psi = of_train @ matrix, closed_form(targets, weight[0], bias[0])[0] @ matrix
    inverse = np.linalg.inv(phi.T @ phi + 0.7 * np.square(phi).sum() / 5 * np.eye(5))
    expected = psi @ (inverse / np.abs(inverse).mean()) @ phi.T * one_minus_p
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
    plain = Trak(dimensions=5, seed=3).attribute(task, given).weights
    assert np.abs(found - plain).max() > 0.01 * np.abs(plain).max()


def digits(recipe: Sgd) -> Task:
    data = Digits(n_train=120, n_test=60, seed=0).load()
    return Task(recipe, 1, data.train, data.test, 10)


@pytest.mark.parametrize(
    "recipe",
    [
        Sgd(epochs=6, batch_size=20, network=Network("mlp", (16,)), mean="subset", scale="subset"),
        Sgd(epochs=6, batch_size=20, network=Network("cnn", (8,))),
        Sgd(
            epochs=2,
            batch_size=20,
            network=Network("resnet9", (4, 4, 4, 4)),
            augmentations=(Resize(height=12, width=12),),
        ),
    ],
    ids=["mlp", "cnn", "resnet9"],
)
def test_modules_are_the_trained_models(recipe: Sgd) -> None:
    task = digits(recipe)
    trained, logits = train_ensemble(task, range(2), Execution())
    models = recipe.torch_models(trained.weights(), (8, 8, 1), 10, Execution())
    assert np.abs(logits[0] - logits[1]).max() > 0.05
    for row, (state, inputs) in enumerate(zip(models.states, models.inputs, strict=True)):
        models.module.load_state_dict(state)
        with torch.no_grad():
            parts = [models.module(inputs(task.targets.images, slice(at, at + 25))) for at in (0, 25, 50)]
        np.testing.assert_allclose(torch.cat(parts).numpy(), logits[row], atol=1e-4)


def test_predictions_rank_models_that_were_never_seen() -> None:
    task = digits(Sgd(epochs=12, batch_size=20, network=Network("mlp", (16,))))
    trained, _ = train_ensemble(task, range(6), Execution())
    found = Trak().attribute(task, iter([trained.weights()]))
    assert np.isfinite(found.weights).all()
    assert found.weights.shape == (60, 120)
    seen = train_subset_models(task, SubsetSampler(120, 0.5, 0).masks(range(60)), range(60), Execution())
    scores = linear_datamodeling_score(found.weights, found.bias, seen.masks, seen.margins)
    assert scores.mean() > 0.1
    again = Trak().attribute(task, iter([trained.weights()]))
    np.testing.assert_array_equal(again.weights, found.weights)


def test_a_frozen_backbone_leaves_the_gradient_of_the_head(tmp_path: Any) -> None:
    from safetensors.torch import save_file

    from modeldiff_core.models import ARCHITECTURES

    torch.manual_seed(0)
    net = ARCHITECTURES.get("mlp").build((8, 8, 1), (16,), 10)
    save_file(dict(net.state_dict()), tmp_path / "net.safetensors")
    network = Network("mlp", (16,), init=str(tmp_path / "net.safetensors"), trainable="head")
    task = digits(Sgd(epochs=6, batch_size=20, network=network))
    trained, logits = train_ensemble(task, range(2), Execution())
    models = task.algorithm.torch_models(trained.weights(), (8, 8, 1), 10, Execution())  # type: ignore[attr-defined]
    assert sorted(models.trained) == ["bias", "weight"]
    models.module.load_state_dict(models.states[1])
    with torch.no_grad():
        again = models.module(models.inputs[1](task.targets.images, slice(None)))
    np.testing.assert_allclose(again.numpy(), logits[1], atol=1e-4)
    assert Trak(dimensions=12).attribute(task, [trained.weights()]).weights.any()


def refused(trak: Trak, algorithm: Any, n_train: int = 100) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        trak.check(algorithm, n_train)
    return caught.value


def test_what_it_cannot_look_into_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Trak().check(Sgd(), 100)
    Trak(dimensions=99).check(Sgd(), 100)
    assert "SklearnClassifier have no gradients" in refused(Trak(), SklearnClassifier()).hint
    error = refused(Trak(dimensions=100), Sgd())
    assert (error.key, error.got) == ("dimensions", 100)
    Trak(dimensions=100, ridge=1.0).check(Sgd(), 100)
    monkeypatch.setitem(sys.modules, "trak", None)
    assert "pip install 'modeldiff-platform[trak]'" in refused(Trak(), Sgd()).hint


@pytest.mark.parametrize("settings", [{"dimensions": 1}, {"ridge": -1.0}, {"ridge": float("nan")}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Trak(**settings)


@pytest.fixture(autouse=True)
def quiet_terminal(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """The package draws a progress bar for each step: none of them reaches the terminal."""
    yield
    assert "Finalizing" not in "".join(capfd.readouterr())
