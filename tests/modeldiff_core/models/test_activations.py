"""A fully connected network with any activation."""

import pytest
import torch

from modeldiff_core.errors import ConfigError
from modeldiff_core.models.activations import perceptron


@pytest.mark.parametrize(("name", "expected"), [("ReLU", torch.relu), ("GELU", torch.nn.functional.gelu)])
def test_it_is_linear_layers_with_the_activation_between(name: str, expected: object) -> None:
    torch.manual_seed(0)
    net = perceptron(12, 3, (5,), name)
    images = torch.randn(4, 3, 2, 2)
    hidden = expected(images.flatten(1) @ net[1].weight.T + net[1].bias)  # type: ignore[operator]
    torch.testing.assert_close(net(images), hidden @ net[3].weight.T + net[3].bias)
    assert [type(layer).__name__ for layer in perceptron(4, 2, (3, 3), "Tanh", 0.5)][1:4] == [
        "Linear",
        "Tanh",
        "Dropout",
    ]


def test_an_unknown_activation_is_named() -> None:
    with pytest.raises(ConfigError, match="GELU"):
        perceptron(4, 2, activation="GELUU")
