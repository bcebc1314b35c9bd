"""The layout of a network in compiled code: its layers, and the place of their parameters in one array of floats."""

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.models import Shape, StackedLayer, StackedNetwork

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
    """A layer and the place of its parameters; compiled code flattens images with channels last.

    Attributes:
        layer: The layer of a stack.
        at: Offset of its weight.
    """

    layer: StackedLayer
    at: int

    @property
    def rows(self) -> int:
        """Rows of its weight: those of all kernels, or the inputs."""
        return self.layer.outputs * self.layer.kernel if self.layer.kernel else self.layer.inputs

    @property
    def row(self) -> int:
        """Floats of a row of its weight without padding."""
        return self.layer.kernel * self.layer.inputs if self.layer.kernel else self.layer.outputs

    @property
    def bias(self) -> int:
        """Offset of its bias."""
        return self.at + self.rows * padded(self.row)

    @property
    def end(self) -> int:
        """Offset of the next layer."""
        return self.bias + padded(self.layer.outputs)

    def described(self) -> Layer:
        """Return the layer as training.c knows it."""
        one = self.layer
        sizes = (one.height, one.width, one.inputs, one.outputs, one.kernel, one.padding)
        return Layer(*sizes, self.at, self.bias)


class Layout:
    """Layers in order, the head last; `size` is the number of floats of all parameters with padding."""

    def __init__(self, places: list[_Place], features: int) -> None:
        self.places, self.features, self.size = places, features, places[-1].end
        self.classes = places[-1].layer.outputs
        self.layers = (Layer * len(places))(*(place.described() for place in places))

    def packed(self, parameters: Mapping[str, Tensor]) -> Float[Tensor, " parameters"]:
        """Return the parameters of one network, named and shaped as in a stack without `models`, as one array."""
        flat = torch.zeros(self.size)
        for place in self.places:
            weight, bias = self._views(flat, place)
            given = parameters[f"{place.layer.name}.weight"]
            if place.layer.kernel:
                given = given.permute(0, 2, 3, 1)
            elif place.layer.features:
                given = given.unflatten(0, place.layer.features).permute(1, 2, 0, 3)
            weight.copy_(given.reshape(weight.shape))
            bias.copy_(parameters[f"{place.layer.name}.bias"].reshape(-1))
        return flat

    def unpacked(self, flat: Float[Tensor, " parameters"]) -> dict[str, Tensor]:
        """Return the parameters by name: the inverse of ``packed``."""
        parameters = {}
        for place in self.places:
            weight, bias = self._views(flat, place)
            if place.layer.kernel:
                sizes = (place.layer.outputs, place.layer.kernel, place.layer.kernel, place.layer.inputs)
                shaped = weight.reshape(sizes).permute(0, 3, 1, 2)
            elif place.layer.features:
                channels, height, width = place.layer.features
                shaped = weight.unflatten(0, (height, width, channels)).permute(2, 0, 1, 3).flatten(0, 2)
            else:
                shaped = weight
            parameters[f"{place.layer.name}.weight"] = shaped.contiguous()
            parameters[f"{place.layer.name}.bias"] = bias.clone() if place.layer.kernel else bias.clone()[None]
        return parameters

    @staticmethod
    def _views(flat: Tensor, place: _Place) -> tuple[Tensor, Tensor]:
        """Return weight [rows, row] and bias [outputs] of a layer as views."""
        weight = flat[place.at : place.bias].view(place.rows, -1)[:, : place.row]
        return weight, flat[place.bias : place.bias + place.layer.outputs]


def padded(n: int) -> int:
    """Return the smallest multiple of LANES that is at least n."""
    return -(-n // LANES) * LANES


def layout_of(stack: StackedNetwork, shape: Shape) -> Layout | None:
    """Return the layout of these networks for images of that shape, or None if the compiled code lacks a layer."""
    layers = stack.layers(shape)
    if not layers or any(layer.kernel not in (0, *KERNELS) for layer in layers):
        return None
    places: list[_Place] = []
    for layer in layers:
        places.append(_Place(layer, places[-1].end if places else 0))
    return Layout(places, math.prod(shape))
