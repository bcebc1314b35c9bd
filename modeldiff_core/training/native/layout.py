"""The layout of a network in compiled code: its layers, and the place of their parameters in one array of floats."""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.models import Shape, StackedConvNet, StackedMLP, StackedNetwork

LANES = 16
"""Floats that are computed together; rows of weights are padded to a multiple with zeros, which stay 0."""
KERNELS = (3, 5)
"""Sizes of the convolutions that the compiled code supports."""


class Layer(ctypes.Structure):
    """The struct Layer of training.c: a convolution with pooling and ReLU, or, with kernel 0, a linear layer."""

    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in ("height", "width", "inputs", "outputs", "kernel", "padding", "weight", "bias")
    )


@dataclass(frozen=True)
class _Place:
    """The place of a layer's parameters.

    Attributes:
        name: Name of the layer in a stack.
        inputs: Input features or channels.
        outputs: Output features or channels.
        at: Offset of its weight.
        height: Height of a convolution's images.
        width: Width of a convolution's images.
        kernel: Size of a convolution; 0 for a linear layer.
        padding: Padding of a convolution.
        features: Channels, height and width of the images that a linear layer flattens, in the order of a stack;
            compiled code flattens them with channels last.
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
        """Rows of its weight: those of all kernels, or the inputs."""
        return self.outputs * self.kernel if self.kernel else self.inputs

    @property
    def row(self) -> int:
        """Floats of a row of its weight without padding."""
        return self.kernel * self.inputs if self.kernel else self.outputs

    @property
    def bias(self) -> int:
        """Offset of its bias."""
        return self.at + self.rows * padded(self.row)

    @property
    def end(self) -> int:
        """Offset of the next layer."""
        return self.bias + padded(self.outputs)


class Layout:
    """Layers in order, the head last; `size` is the number of floats of all parameters with padding."""

    def __init__(self, places: list[_Place], features: int) -> None:
        self.places, self.features, self.size, self.classes = places, features, places[-1].end, places[-1].outputs
        self.layers = (Layer * len(places))(
            *(Layer(p.height, p.width, p.inputs, p.outputs, p.kernel, p.padding, p.at, p.bias) for p in places)
        )

    def packed(self, parameters: Mapping[str, Tensor]) -> Float[Tensor, " parameters"]:
        """Return the parameters of one network, named and shaped as in a stack without `models`, as one array."""
        flat = torch.zeros(self.size)
        for place in self.places:
            weight, bias = self._views(flat, place)
            values = parameters[f"{place.name}.weight"]
            if place.kernel:
                values = values.permute(0, 2, 3, 1)
            elif place.features:
                values = values.unflatten(0, place.features).permute(1, 2, 0, 3)
            weight.copy_(values.reshape(weight.shape))
            bias.copy_(parameters[f"{place.name}.bias"].reshape(-1))
        return flat

    def unpacked(self, flat: Float[Tensor, " parameters"]) -> dict[str, Tensor]:
        """Return the parameters by name: the inverse of ``packed``."""
        parameters = {}
        for place in self.places:
            weight, bias = self._views(flat, place)
            if place.kernel:
                shaped = weight.reshape(place.outputs, place.kernel, place.kernel, place.inputs).permute(0, 3, 1, 2)
            elif place.features:
                channels, height, width = place.features
                shaped = weight.unflatten(0, (height, width, channels)).permute(2, 0, 1, 3).flatten(0, 2)
            else:
                shaped = weight
            parameters[f"{place.name}.weight"] = shaped.contiguous()
            parameters[f"{place.name}.bias"] = bias.clone() if place.kernel else bias.clone()[None]
        return parameters

    @staticmethod
    def _views(flat: Tensor, place: _Place) -> tuple[Tensor, Tensor]:
        """Return weight [rows, row] and bias [outputs] of a layer as views."""
        weight = flat[place.at : place.bias].view(place.rows, -1)[:, : place.row]
        return weight, flat[place.bias : place.bias + place.outputs]


def padded(n: int) -> int:
    """Return the smallest multiple of LANES that is at least n."""
    return -(-n // LANES) * LANES


def layout_of(stack: StackedNetwork, shape: Shape) -> Layout | None:
    """Return the layout of these networks for images of that shape, or None if the compiled code lacks a layer."""
    places: list[_Place] = []
    height, width, channels = shape

    def at() -> int:
        return places[-1].end if places else 0

    if isinstance(stack, StackedMLP):
        for i, (inputs, outputs) in enumerate(pairwise(stack.sizes)):
            places.append(_Place(str(i), inputs, outputs, at()))
        return Layout(places, stack.sizes[0])
    if not isinstance(stack, StackedConvNet) or stack.stages.kernel not in KERNELS:
        return None
    kernel, features = stack.stages.kernel, height * width * channels
    for i, (inputs, outputs, padding) in enumerate(stack.stages.convolutions):
        places.append(_Place(f"conv{i}", inputs, outputs, at(), height, width, kernel, padding))
        height, width = ((side + 2 * padding - kernel + 1) // 2 for side in (height, width))
    images: tuple[int, int, int] | None = (stack.stages.convolutions[-1][1], height, width)
    for name, (inputs, outputs) in stack.linear_layers():
        places.append(_Place(name, inputs, outputs, at(), features=images))
        images = None
    return Layout(places, features)
