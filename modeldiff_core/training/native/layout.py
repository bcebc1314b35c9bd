"""How the compiled code sees a network: its layers, and where their parameters lie in one run of floats."""

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.models import Shape, StackedLayer, StackedNetwork

LANES = 16
"""Floats that are computed together; rows of weights are padded with zeros to a multiple, which stay 0."""
KERNELS = (3, 5)
"""Sizes of convolutions that there is code for."""


class Layer(ctypes.Structure):
    """training.c's Layer: a convolution with pooling and ReLU, or with kernel 0 a linear layer."""

    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in ("height", "width", "inputs", "outputs", "kernel", "padding", "weight", "bias")
    )


@dataclass(frozen=True)
class _Part:
    """A layer and where its weight starts. In compiled code the channels of images come last."""

    layer: StackedLayer
    at: int

    @property
    def rows(self) -> int:
        """Rows of its weights: of kernels, or inputs."""
        return self.layer.outputs * self.layer.kernel if self.layer.kernel else self.layer.inputs

    @property
    def row(self) -> int:
        """Floats of a row of its weights, without what pads it."""
        return self.layer.kernel * self.layer.inputs if self.layer.kernel else self.layer.outputs

    @property
    def bias(self) -> int:
        """Where its bias starts."""
        return self.at + self.rows * padded(self.row)

    @property
    def end(self) -> int:
        """Where the next layer starts."""
        return self.bias + padded(self.layer.outputs)

    def described(self) -> Layer:
        """Return the layer as training.c knows it."""
        one = self.layer
        sizes = (one.height, one.width, one.inputs, one.outputs, one.kernel, one.padding)
        return Layer(*sizes, self.at, self.bias)


class Layout:
    """Layers in order, the head last; size: floats of all parameters."""

    def __init__(self, parts: list[_Part], features: int) -> None:
        self.parts, self.features, self.size = parts, features, parts[-1].end
        self.classes = parts[-1].layer.outputs
        self.layers = (Layer * len(parts))(*(part.described() for part in parts))

    def packed(self, parameters: Mapping[str, Tensor]) -> Float[Tensor, " parameters"]:
        """One network's parameters, named and shaped as in a stack without `models`, in one run."""
        flat = torch.zeros(self.size)
        for part in self.parts:
            weight, bias = self._views(flat, part)
            given = parameters[f"{part.layer.name}.weight"]
            if part.layer.kernel:
                given = given.permute(0, 2, 3, 1)
            elif part.layer.features:
                given = given.unflatten(0, part.layer.features).permute(1, 2, 0, 3)
            weight.copy_(given.reshape(weight.shape))
            bias.copy_(parameters[f"{part.layer.name}.bias"].reshape(-1))
        return flat

    def unpacked(self, flat: Float[Tensor, " parameters"]) -> dict[str, Tensor]:
        """The reverse of ``packed``."""
        parameters = {}
        for part in self.parts:
            weight, bias = self._views(flat, part)
            if part.layer.kernel:
                sizes = (part.layer.outputs, part.layer.kernel, part.layer.kernel, part.layer.inputs)
                shaped = weight.reshape(sizes).permute(0, 3, 1, 2)
            elif part.layer.features:
                channels, height, width = part.layer.features
                shaped = weight.unflatten(0, (height, width, channels)).permute(2, 0, 1, 3).flatten(0, 2)
            else:
                shaped = weight
            parameters[f"{part.layer.name}.weight"] = shaped.contiguous()
            parameters[f"{part.layer.name}.bias"] = bias.clone() if part.layer.kernel else bias.clone()[None]
        return parameters

    @staticmethod
    def _views(flat: Tensor, part: _Part) -> tuple[Tensor, Tensor]:
        """Weight [rows, row] and bias [outputs] of a layer."""
        weight = flat[part.at : part.bias].view(part.rows, -1)[:, : part.row]
        return weight, flat[part.bias : part.bias + part.layer.outputs]


def padded(n: int) -> int:
    """The next multiple of LANES."""
    return -(-n // LANES) * LANES


def layout_of(stack: StackedNetwork, shape: Shape) -> Layout | None:
    """Return the layout of these networks for images of that shape, or None where there is no code for them."""
    layers = stack.layers(shape)
    if not layers or any(layer.kernel not in (0, *KERNELS) for layer in layers):
        return None
    parts: list[_Part] = []
    for layer in layers:
        parts.append(_Part(layer, parts[-1].end if parts else 0))
    return Layout(parts, math.prod(shape))
