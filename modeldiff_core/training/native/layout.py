"""How the compiled code sees a network: its layers, and where their parameters lie in one run of floats."""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.models import Shape, StackedConvNet, StackedMLP, StackedNetwork

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
    """A layer by its names in a stack; at: where its weight starts. features: channels, height and width of the images
    that a linear layer's inputs are, in the stack's order; in compiled code channels come last.
    """

    name: str
    inputs: int
    outputs: int
    at: int
    height: int = 1
    width: int = 1
    kernel: int = 0
    padding: int = 0
    features: tuple[int, int, int] | None = None

    @property
    def rows(self) -> int:
        """Rows of its weights: of kernels, or inputs."""
        return self.outputs * self.kernel if self.kernel else self.inputs

    @property
    def row(self) -> int:
        """Floats of a row of its weights, without what pads it."""
        return self.kernel * self.inputs if self.kernel else self.outputs

    @property
    def bias(self) -> int:
        """Where its bias starts."""
        return self.at + self.rows * padded(self.row)

    @property
    def end(self) -> int:
        """Where the next layer starts."""
        return self.bias + padded(self.outputs)


class Layout:
    """Layers in order, the head last; size: floats of all parameters."""

    def __init__(self, parts: list[_Part], features: int) -> None:
        self.parts, self.features, self.size, self.classes = parts, features, parts[-1].end, parts[-1].outputs
        self.layers = (Layer * len(parts))(
            *(Layer(p.height, p.width, p.inputs, p.outputs, p.kernel, p.padding, p.at, p.bias) for p in parts)
        )

    def packed(self, parameters: Mapping[str, Tensor]) -> Float[Tensor, " parameters"]:
        """One network's parameters, named and shaped as in a stack without `models`, in one run."""
        flat = torch.zeros(self.size)
        for part in self.parts:
            weight, bias = self._views(flat, part)
            given = parameters[f"{part.name}.weight"]
            if part.kernel:
                given = given.permute(0, 2, 3, 1)
            elif part.features:
                given = given.unflatten(0, part.features).permute(1, 2, 0, 3)
            weight.copy_(given.reshape(weight.shape))
            bias.copy_(parameters[f"{part.name}.bias"].reshape(-1))
        return flat

    def unpacked(self, flat: Float[Tensor, " parameters"]) -> dict[str, Tensor]:
        """The reverse of ``packed``."""
        parameters = {}
        for part in self.parts:
            weight, bias = self._views(flat, part)
            if part.kernel:
                shaped = weight.reshape(part.outputs, part.kernel, part.kernel, part.inputs).permute(0, 3, 1, 2)
            elif part.features:
                channels, height, width = part.features
                shaped = weight.unflatten(0, (height, width, channels)).permute(2, 0, 1, 3).flatten(0, 2)
            else:
                shaped = weight
            parameters[f"{part.name}.weight"] = shaped.contiguous()
            parameters[f"{part.name}.bias"] = bias.clone() if part.kernel else bias.clone()[None]
        return parameters

    @staticmethod
    def _views(flat: Tensor, part: _Part) -> tuple[Tensor, Tensor]:
        """Weight [rows, row] and bias [outputs] of a layer."""
        weight = flat[part.at : part.bias].view(part.rows, -1)[:, : part.row]
        return weight, flat[part.bias : part.bias + part.outputs]


def padded(n: int) -> int:
    """The next multiple of LANES."""
    return -(-n // LANES) * LANES


def layout_of(stack: StackedNetwork, shape: Shape) -> Layout | None:
    """The layout of these networks for images of that shape, if there is code for them."""
    parts: list[_Part] = []
    height, width, channels = shape

    def at() -> int:
        return parts[-1].end if parts else 0

    if isinstance(stack, StackedMLP):
        for i, (inputs, outputs) in enumerate(pairwise(stack.sizes)):
            parts.append(_Part(str(i), inputs, outputs, at()))
        return Layout(parts, stack.sizes[0])
    if not isinstance(stack, StackedConvNet) or stack.stages.kernel not in KERNELS:
        return None
    kernel, features = stack.stages.kernel, height * width * channels
    for i, (inputs, outputs, padding) in enumerate(stack.stages.convolutions):
        parts.append(_Part(f"conv{i}", inputs, outputs, at(), height, width, kernel, padding))
        height, width = ((side + 2 * padding - kernel + 1) // 2 for side in (height, width))
    images: tuple[int, int, int] | None = (stack.stages.convolutions[-1][1], height, width)
    for name, (inputs, outputs) in stack.linear_layers():
        parts.append(_Part(name, inputs, outputs, at(), features=images))
        images = None
    return Layout(parts, features)
