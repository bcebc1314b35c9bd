"""A fully connected network with any activation of torch, for recipes that name networks by their import path."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from modeldiff_core.errors import ConfigError, meant


def perceptron(
    features: int, classes: int, widths: Sequence[int] = (64,), activation: str = "ReLU", dropout: float = 0.0
) -> nn.Sequential:
    """Return linear layers of these widths with an activation after each but the last, on images laid out as rows.

    Args:
        features: Numbers of an image: height · width · channels.
        classes: Logits.
        widths: Units of each hidden layer.
        activation: Name of a class of ``torch.nn`` that needs no arguments, such as ReLU, GELU or Tanh.
        dropout: Probability that a hidden unit is left out in training.

    Raises ConfigError for an activation that torch does not have.
    """
    known = [name for name in dir(nn.modules.activation) if isinstance(getattr(nn.modules.activation, name), type)]
    if activation not in known or not issubclass(getattr(nn, activation, object), nn.Module):
        key = "recipe.network_arguments.activation"
        raise ConfigError(key, "a class of torch.nn.modules.activation", activation, meant(activation, known))
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise((features, *widths)):
        layers += [nn.Linear(inputs, outputs), getattr(nn, activation)()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear((features, *widths)[-1], classes))
