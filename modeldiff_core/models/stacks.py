"""Networks with a leading `models` axis on every parameter: one launch trains them all.

The MLP is a chain of batched matrix products; the CNN one grouped convolution a layer (group = model), so the work
of K small networks fills a device that one of them would leave idle.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.errors import ConfigError

Parameters = dict[str, Tensor]
"""Named tensors [models, ...]."""


@runtime_checkable
class StackedNetwork(Protocol):
    """K networks of one architecture."""

    def initial(self, generator: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        """One network's parameters from its own generator: uniform in ±1/√fan_in, weights and biases."""
        ...

    def logits(
        self, parameters: Parameters, images: Float[Tensor, "models batch height width channels"]
    ) -> Float[Tensor, "models batch classes"]:
        """Logits of each network on its own batch."""
        ...


def _layer(
    generator: np.random.Generator, shape: tuple[int, ...], fan_in: int, outputs: int
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, " outputs"]]:
    bound = fan_in**-0.5
    weight = generator.uniform(-bound, bound, shape).astype(np.float32)
    return weight, generator.uniform(-bound, bound, outputs).astype(np.float32)


class StackedMLP:
    """Fully connected ReLU networks; weights [models, inputs, outputs]."""

    def __init__(self, image_shape: tuple[int, int, int], widths: tuple[int, ...], n_classes: int) -> None:
        self.sizes = (int(np.prod(image_shape)), *widths, n_classes)

    def initial(self, generator: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        parameters = {}
        for i, (inputs, outputs) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            weight, bias = _layer(generator, (inputs, outputs), inputs, outputs)
            parameters[f"{i}.weight"], parameters[f"{i}.bias"] = weight, bias[None]
        return parameters

    def logits(
        self, parameters: Parameters, images: Float[Tensor, "models batch height width channels"]
    ) -> Float[Tensor, "models batch classes"]:
        x = images.flatten(2)
        last = len(self.sizes) - 2
        for i in range(last + 1):
            x = torch.baddbmm(parameters[f"{i}.bias"], x, parameters[f"{i}.weight"])
            if i < last:
                x = x.relu()
        return x


class StackedCNN:
    """3×3 convolutions (padding 1), each with ReLU and 2×2 max pooling, then one linear layer."""

    def __init__(self, image_shape: tuple[int, int, int], widths: tuple[int, ...], n_classes: int) -> None:
        height, width, channels = image_shape
        self.channels = (channels, *widths)
        self.n_classes = n_classes
        side = (height >> len(widths)) * (width >> len(widths))
        if not side:
            raise ConfigError(
                "recipe.network.widths",
                f"at most {min(height, width).bit_length() - 1} layers for {height}×{width} images",
                list(widths),
            )
        self.features = side * widths[-1]

    def initial(self, generator: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        parameters = {}
        for i, (inputs, outputs) in enumerate(zip(self.channels, self.channels[1:], strict=False)):
            weight, bias = _layer(generator, (outputs, inputs, 3, 3), 9 * inputs, outputs)
            parameters[f"conv{i}.weight"], parameters[f"conv{i}.bias"] = weight, bias
        weight, bias = _layer(generator, (self.features, self.n_classes), self.features, self.n_classes)
        parameters["head.weight"], parameters["head.bias"] = weight, bias[None]
        return parameters

    def logits(
        self, parameters: Parameters, images: Float[Tensor, "models batch height width channels"]
    ) -> Float[Tensor, "models batch classes"]:
        models, batch = images.shape[:2]
        x = images.permute(1, 0, 4, 2, 3).flatten(1, 2)
        for i in range(len(self.channels) - 1):
            weight, bias = parameters[f"conv{i}.weight"], parameters[f"conv{i}.bias"]
            x = F.conv2d(x, weight.flatten(0, 1), bias.flatten(), padding=1, groups=models)
            x = F.max_pool2d(x.relu(), 2)
        features = x.reshape(batch, models, -1).transpose(0, 1)
        return torch.baddbmm(parameters["head.bias"], features, parameters["head.weight"])
