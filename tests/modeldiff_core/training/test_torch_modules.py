"""Any torch module with any optimizer by name: against a loop by hand, stored and loaded, and what cannot be built."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modeldiff_core.data import Examples
from modeldiff_core.datamodels.trak import Trak
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.study.build import build_algorithm
from modeldiff_core.study.config import AlgorithmConfig
from modeldiff_core.training import Execution, Task
from modeldiff_core.training.modules import TorchRecipe
from modeldiff_core.training.rehearsal import rehearse

SOURCE = """
from torch import nn


class Net(nn.Module):
    def __init__(self, hidden=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, hidden), nn.BatchNorm1d(hidden), nn.ReLU())
        self.head = nn.Linear(hidden, 2)

    def forward(self, images):
        return self.head(self.layers(images))


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
"""


@pytest.fixture(autouse=True)
def own_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "own_nets.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("own_nets", None)


def examples(count: int = 60, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 150, (count, 4, 4, 1))
    images[labels == 0, 0] += 60
    return Examples(images.astype(np.uint8), labels)


def recipe(**settings: Any) -> TorchRecipe:
    made = build_algorithm(AlgorithmConfig(name="x", kind="torch", recipe=settings), "algorithm_a")
    assert isinstance(made, TorchRecipe)
    return made


MASKS = np.arange(60) % 3 != np.array([[0], [1]])


def test_training_is_a_loop_of_the_named_optimizer() -> None:
    given, settings = examples(), {"lr": 0.02, "weight_decay": 0.1}
    made = recipe(
        network="own_nets:linear",
        optimizer="AdamW",
        optimizer_arguments=settings,
        scheduler="ExponentialLR",
        scheduler_arguments={"gamma": 0.5},
        epochs=3,
        batch_size=16,
        label_smoothing=0.1,
        clip=0.5,
    )
    found = made.train(given, 2, MASKS[:1], [7], 5, Execution()).logits(given.images)[0]
    torch.manual_seed(int(generator("torch module", 5, 7).integers(2**31)))
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    optimizer = torch.optim.AdamW(net.parameters(), **settings)
    pixels = (torch.from_numpy(given.images).float() / 255 - 0.5) / 0.5
    for epoch in range(3):
        order = generator("order", 5, 7, epoch).permutation(np.flatnonzero(MASKS[0]))
        for at in range(0, len(order), 16):
            rows = order[at : at + 16]
            loss = nn.functional.cross_entropy(
                net(pixels[rows].permute(0, 3, 1, 2)), torch.from_numpy(given.labels[rows]), label_smoothing=0.1
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.5
    expected = net(pixels.permute(0, 3, 1, 2)).detach().numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_every_setting_trains_the_same_bits_again_and_loads() -> None:
    given = examples()
    made = recipe(
        network="own_nets:Net",
        network_arguments={"hidden": 6},
        optimizer="SGD",
        optimizer_arguments={"lr": 0.1, "momentum": 0.9},
        scheduler="OneCycleLR",
        scheduler_arguments={"max_lr": 0.1, "total_steps": 100},
        scheduler_every="batch",
        epochs=20,
        batch_size=10,
        mixup=0.3,
        cutmix=0.5,
        erasing=0.2,
        jitter=0.2,
        augmentations=[{"kind": "flip"}],
    )
    made.check((4, 4, 1), 2)
    models = made.train(given, 2, MASKS, [0, 1], 0, Execution())
    logits = models.logits(given.images)
    assert (logits.argmax(2) == given.labels).mean() > 0.7
    assert not np.array_equal(logits[0], logits[1])
    again = made.train(given, 2, MASKS[1:], [1], 0, Execution()).logits(given.images)
    np.testing.assert_array_equal(again[0], logits[1])
    np.testing.assert_array_equal(made.load(models.weights(), (4, 4, 1), 2, Execution()).logits(given.images), logits)
    assert rehearse(Task(made, 0, given, given, 2), 30, Execution()).remarks == []


def test_they_are_torch_modules_for_estimators_that_take_gradients() -> None:
    given = examples()
    made = recipe(network="own_nets:Net", epochs=4, batch_size=10)
    trained = made.train(given, 2, MASKS, [0, 1], 0, Execution())
    models = made.torch_models(trained.weights(), (4, 4, 1), 2, Execution())
    logits = trained.logits(given.images)
    for row, (state, inputs) in enumerate(zip(models.states, models.inputs, strict=True)):
        models.module.load_state_dict(state)
        found = models.module(inputs(given.images, slice(0, 60))).detach().numpy()
        np.testing.assert_allclose(found, logits[row], rtol=1e-5, atol=1e-6)
    assert set(models.trained) == {name for name, _ in models.module.named_parameters()}
    whole = made.train(given, 2, np.ones((2, 60), bool), [0, 1], 0, Execution())
    found = Trak().attribute(Task(made, 0, given, given, 2), [whole.weights()]).weights
    alike = given.labels[:, None] == given.labels
    assert found[alike].mean() > found[~alike].mean() + found.std() / 10


def test_an_architecture_that_ships_is_named_as_such() -> None:
    given = examples()
    models = recipe(network="mlp", network_arguments={"widths": [6]}, epochs=2).train(
        given, 2, MASKS, [0, 1], 0, Execution()
    )
    assert models.weights()["0.weight"].shape == (2, 6, 16)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"network": "own_nets:Nett"}, "recipe.network: .*module 'own_nets' has no attribute 'Nett'"),
        ({"network": "no_such_nets:Net"}, "recipe.network: .*No module named 'no_such_nets'"),
        ({"network": "mpl"}, "recipe.network.*Is mlp meant"),
        (
            {"network": "own_nets:Net", "optimizer": "Adan"},
            "recipe.optimizer: .*torch.optim, got 'Adan'. Is Adam meant",
        ),
        ({"network": "own_nets:Net", "optimizer_arguments": {"rate": 1}}, "recipe.optimizer_arguments: .*'rate'"),
        ({"network": "own_nets:Net", "scheduler": "CosineLR"}, "recipe.scheduler: .*got 'CosineLR'"),
        ({"network": "own_nets:Net", "network_arguments": {"hiden": 1}}, "recipe.network_arguments: .*'hiden'"),
        ({"network": "own_nets:Net", "mixup": -1}, "recipe.mixup: .*0 or more, got -1"),
        ({"network": "own_nets:Net", "mixupp": 1}, "recipe.mixupp: .*Is mixup meant"),
    ],
)
def test_what_cannot_be_built_is_named_with_its_key(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        recipe(**settings).check((4, 4, 1), 2)


def test_another_number_of_classes_or_shape_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"recipe\.network: expected a network with 3 logits an image, got 'own_nets:Net: \[2, 2\]'"
    ):
        recipe(network="own_nets:Net").check((4, 4, 1), 3)
    with pytest.raises(
        ConfigError, match=r"recipe\.network: expected a network for images \[n, 1, 5, 5\] .*RuntimeError"
    ):
        recipe(network="own_nets:Net").check((5, 5, 1), 2)


def test_the_code_of_a_network_is_known() -> None:
    code = recipe(network="own_nets:Net").code()
    assert set(code["parts"]) == {"Net"}
    assert "torch" in code["libraries"]
    assert recipe(network="mlp").code() == {}
