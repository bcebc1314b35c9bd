"""Stacked networks against one torch.nn module a model with the same weights."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.models import StackedConvNet, StackedMLP, StackedNetwork
from modeldiff_core.models.stacks import cnn_stages

MODELS, BATCH, CLASSES = 3, 5, 4


def stacked(network: StackedNetwork) -> dict[str, Tensor]:
    starts = [network.initial(generator("test", model)) for model in range(MODELS)]
    return {name: torch.from_numpy(np.stack([start[name] for start in starts])) for name in starts[0]}


def inputs(*shape: int) -> Tensor:
    return torch.from_numpy(generator("images").normal(size=(MODELS, BATCH, *shape)).astype(np.float32))


def reference_mlp(parameters: dict[str, Tensor], model: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for i in range(depth):
        weight = parameters[f"{i}.weight"][model]
        linear = nn.Linear(*weight.shape)
        linear.load_state_dict({"weight": weight.T, "bias": parameters[f"{i}.bias"][model, 0]})
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def reference_cnn(parameters: dict[str, Tensor], model: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(depth):
        weight = parameters[f"conv{i}.weight"][model]
        convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        convolution.load_state_dict({"weight": weight, "bias": parameters[f"conv{i}.bias"][model]})
        layers += [convolution, nn.ReLU(), nn.MaxPool2d(2)]
    head = nn.Linear(*parameters["head.weight"][model].shape)
    head.load_state_dict({"weight": parameters["head.weight"][model].T, "bias": parameters["head.bias"][model, 0]})
    return nn.Sequential(*layers, nn.Flatten(), head)


@pytest.mark.parametrize("widths", [(7,), (9, 6), (8, 8, 8)])
@pytest.mark.parametrize("shape", [(4, 5, 1), (3, 4, 3)])
def test_mlp_logits_are_those_of_torch(widths: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    network = StackedMLP(shape, widths, CLASSES)
    parameters, images = stacked(network), inputs(*shape)
    logits = network.logits(parameters, images)
    assert logits.shape == (MODELS, BATCH, CLASSES)
    assert logits.std() > 0.01
    for model in range(MODELS):
        expected = reference_mlp(parameters, model, len(widths) + 1)(images[model])
        torch.testing.assert_close(logits[model], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("widths", "shape"), [((6,), (4, 4, 1)), ((5, 8), (8, 8, 3)), ((4, 5, 6), (9, 12, 2))])
def test_cnn_logits_are_those_of_torch(widths: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    network = StackedConvNet(cnn_stages(shape, widths, CLASSES))
    parameters, images = stacked(network), inputs(*shape)
    logits = network.logits(parameters, images)
    assert logits.shape == (MODELS, BATCH, CLASSES)
    assert logits.std() > 0.01
    for model in range(MODELS):
        reference = reference_cnn(parameters, model, len(widths))
        expected = reference(images[model].permute(0, 3, 1, 2))
        torch.testing.assert_close(logits[model], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "network", [StackedMLP((6, 6, 3), (50, 40), 10), StackedConvNet(cnn_stages((6, 6, 3), (20, 30), 10))]
)
def test_initial_weights_are_uniform_within_one_over_root_fan_in(network: StackedNetwork) -> None:
    """torch's own bound for linear and convolutional layers; a uniform's deviation is bound/√3."""
    start = network.initial(generator("initialisation", 0))
    for name, value in start.items():
        assert value.dtype == np.float32
        layer = start[name.replace("bias", "weight")]
        fan_in = layer[0].size if layer.ndim == 4 else layer.shape[0]
        bound = fan_in**-0.5
        assert np.abs(value).max() <= bound * (1 + 1e-6)
        if value.size > 500:
            assert np.abs(value).max() > 0.98 * bound
            assert value.std() == pytest.approx(bound / np.sqrt(3), rel=0.1)
            assert abs(value.mean()) < 5 * bound / np.sqrt(3 * value.size)


def test_initial_weights_follow_the_generator() -> None:
    network = StackedMLP((4, 4, 1), (8,), 3)
    once, again, other = (network.initial(generator("initialisation", model)) for model in (1, 1, 2))
    np.testing.assert_array_equal(once["0.weight"], again["0.weight"])
    assert not np.array_equal(once["0.weight"], other["0.weight"])


@pytest.mark.parametrize(("shape", "widths"), [((8, 8, 1), (4,) * 4), ((2, 16, 1), (4, 4))])
def test_more_poolings_than_the_images_allow(shape: tuple[int, int, int], widths: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        cnn_stages(shape, widths, 3)
    assert caught.value.key == "recipe.network.widths"
    assert f"at most {len(widths) - 1} layers" in caught.value.expected


def test_weights_start_as_the_generator_draws_them_uniformly() -> None:
    network, reference = StackedMLP((4, 5, 3), (7,), CLASSES), generator("start")
    found = network.initial(generator("start"))
    for i, (inputs, outputs) in enumerate(((60, 7), (7, CLASSES))):
        for name, shape in (("weight", (inputs, outputs)), ("bias", (1, outputs))):
            expected = reference.uniform(-(inputs**-0.5), inputs**-0.5, shape).astype(np.float32)
            assert expected.std() > 0.02
            assert (found[f"{i}.{name}"] == expected).all()
