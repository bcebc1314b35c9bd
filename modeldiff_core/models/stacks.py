"""Networks with a leading `models` axis on every parameter: one launch trains them all.

The MLP is a chain of batched matrix products; on a GPU convolutions are grouped (group = model), so the work of K small
networks fills a device that one of them would leave idle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.errors import ConfigError
from modeldiff_core.models.nets import Head, Shape
from modeldiff_core.models.pooling import convolve_pool_relu

Parameters = dict[str, Tensor]
"""Named tensors [models, ...]."""


@dataclass(frozen=True)
class StackedLayer:
    """A layer of a stack: fully connected, or with a kernel a convolution with 2×2 max pooling; ReLU but for the last.

    name: of its parameters, `name.weight` and `name.bias`. inputs, outputs: features, or channels of a convolution.
    height, width: of the images that a convolution takes. features: channels, height and width of the images that the
    inputs of the first fully connected layer after a convolution are, in this order.
    """

    name: str
    inputs: int
    outputs: int
    height: int = 1
    width: int = 1
    kernel: int = 0
    padding: int = 0
    features: tuple[int, int, int] | None = None


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

    def layers(self, image_shape: Shape) -> list[StackedLayer] | None:
        """Return all layers in order for compiled code, or None for a network that these layers do not describe."""
        return None


def to_module(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One network's parameters [...] as a torch module of the same architecture names and shapes them."""
    return {
        name: value.squeeze(0) if name.endswith("bias") and value.ndim == 2 else value.T if value.ndim == 2 else value
        for name, value in parameters.items()
    }


def from_module(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the reverse of ``to_module``."""
    linear = {name.rpartition(".")[0] for name, value in state.items() if value.ndim == 2}
    return {
        name: value if name.rpartition(".")[0] not in linear else value.T if value.ndim == 2 else value[None]
        for name, value in state.items()
    }


def _layer(
    generator: np.random.Generator, shape: tuple[int, ...], fan_in: int, outputs: int
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, " outputs"]]:
    bound = fan_in**-0.5
    # As generator.uniform draws them, which takes twice as long: it scales and shifts number by number.
    weight, bias = (2 * bound * generator.random(size) - bound for size in (shape, outputs))
    return weight.astype(np.float32), bias.astype(np.float32)


class StackedMLP(StackedNetwork):
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

    def layers(self, image_shape: Shape) -> list[StackedLayer]:
        return [StackedLayer(str(i), *sizes) for i, sizes in enumerate(pairwise(self.sizes))]


@dataclass(frozen=True)
class ConvStages:
    """The layers of a convolutional network: convolutions with ReLU and 2×2 max pooling, hidden layers, the head.

    convolutions: inputs, outputs and padding of each. hidden, head: inputs and outputs.
    """

    kernel: int
    convolutions: tuple[tuple[int, int, int], ...]
    hidden: tuple[tuple[int, int], ...]
    head: tuple[int, int]


def cnn_stages(image_shape: tuple[int, int, int], widths: tuple[int, ...], n_classes: int) -> ConvStages:
    """3×3 convolutions (padding 1) of the given widths; raises ConfigError for more poolings than the images allow."""
    height, width, channels = image_shape
    side = (height >> len(widths)) * (width >> len(widths))
    if not side:
        raise ConfigError(
            "recipe.network.widths",
            f"at most {min(height, width).bit_length() - 1} layers for {height}×{width} images",
            list(widths),
        )
    inputs = (channels, *widths)
    return ConvStages(
        3, tuple((a, b, 1) for a, b in zip(inputs, widths, strict=False)), (), (side * widths[-1], n_classes)
    )


def lenet_stages(image_shape: tuple[int, int, int], n_classes: int) -> ConvStages:
    """LeNet-5's layers: 61,706 parameters for 28×28×1 images and 10 classes."""
    height, width, channels = image_shape
    sides = [(side // 2 - 4) // 2 for side in (height, width)]
    if min(sides) < 1:
        raise ConfigError(
            "recipe.network.kind", f"an architecture for {height}×{width} images (lenet takes 12×12 or more)", "lenet"
        )
    features = 16 * sides[0] * sides[1]
    return ConvStages(5, ((channels, 6, 2), (6, 16, 0)), ((features, 120), (120, 84)), (84, n_classes))


class StackedConvNet(StackedNetwork):
    """The networks that ``ConvStages`` describes; convolutions [models, outputs, inputs, kernel, kernel]."""

    def __init__(self, stages: ConvStages) -> None:
        self.stages = stages

    def initial(self, generator: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        parameters, kernel = {}, self.stages.kernel
        for i, (inputs, outputs, _) in enumerate(self.stages.convolutions):
            weight, bias = _layer(generator, (outputs, inputs, kernel, kernel), kernel**2 * inputs, outputs)
            parameters[f"conv{i}.weight"], parameters[f"conv{i}.bias"] = weight, bias
        for name, (inputs, outputs) in self.linear_layers():
            weight, bias = _layer(generator, (inputs, outputs), inputs, outputs)
            parameters[f"{name}.weight"], parameters[f"{name}.bias"] = weight, bias[None]
        return parameters

    def logits(
        self, parameters: Parameters, images: Float[Tensor, "models batch height width channels"]
    ) -> Float[Tensor, "models batch classes"]:
        x = self._one_by_one(parameters, images) if images.device.type == "cpu" else self._grouped(parameters, images)
        for name, _ in self.linear_layers():
            x = torch.baddbmm(parameters[f"{name}.bias"], x, parameters[f"{name}.weight"])
            if name != "head":
                x = x.relu()
        return x

    def _grouped(self, parameters: Parameters, images: Tensor) -> Float[Tensor, "models batch features"]:
        models, batch = images.shape[:2]
        x = images.permute(1, 0, 4, 2, 3).flatten(1, 2)
        for i, (_, _, padding) in enumerate(self.stages.convolutions):
            weight, bias = parameters[f"conv{i}.weight"].flatten(0, 1), parameters[f"conv{i}.bias"].flatten()
            x = F.max_pool2d(F.conv2d(x, weight, bias, padding=padding, groups=models), 2).relu()
        return x.reshape(batch, models, -1).transpose(0, 1)

    def _one_by_one(self, parameters: Parameters, images: Tensor) -> Float[Tensor, "models batch features"]:
        """Convolve model after model: a CPU is busy with one, and keeps its results in the cache."""
        layers = [
            (parameters[f"conv{i}.weight"].unbind(), parameters[f"conv{i}.bias"].unbind(), padding)
            for i, (_, _, padding) in enumerate(self.stages.convolutions)
        ]
        features = []
        for model, own in enumerate(images.unbind()):
            x = own.permute(0, 3, 1, 2)
            for weights, biases, padding in layers:
                x = convolve_pool_relu(x, weights[model], biases[model], padding)
            features.append(x.flatten(1))
        return torch.stack(features)

    def layers(self, image_shape: Shape) -> list[StackedLayer]:
        kernel, (height, width, _) = self.stages.kernel, image_shape
        found = []
        for i, (inputs, outputs, padding) in enumerate(self.stages.convolutions):
            found.append(StackedLayer(f"conv{i}", inputs, outputs, height, width, kernel, padding))
            height, width = ((side + 2 * padding - kernel + 1) // 2 for side in (height, width))
        images: tuple[int, int, int] | None = (self.stages.convolutions[-1][1], height, width)
        for name, (inputs, outputs) in self.linear_layers():
            found.append(StackedLayer(name, inputs, outputs, features=images))
            images = None
        return found

    def linear_layers(self) -> list[tuple[str, tuple[int, int]]]:
        """Names of the layers after the convolutions, with their inputs and outputs."""
        hidden = [(f"hidden{i}", sizes) for i, sizes in enumerate(self.stages.hidden)]
        return [*hidden, ("head", self.stages.head)]


class StackedHead:
    """Last layers alone, on features: weights [models, features, classes]; the names are those of the head."""

    def __init__(self, name: str, head: Head) -> None:
        self.name, self.bias, self.scale = name, head.bias is not None, head.scale

    def logits(
        self, parameters: Parameters, features: Float[Tensor, "models batch features"]
    ) -> Float[Tensor, "models batch classes"]:
        """Logits of each head on its own batch."""
        x = torch.bmm(features, parameters[f"{self.name}.weight"])
        if self.bias:
            x = x + parameters[f"{self.name}.bias"]
        return x if self.scale == 1 else x.mul(self.scale)
