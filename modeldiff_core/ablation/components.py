"""Components of a network: the parts that can be ablated, found in any torch module by type and name."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int
from torch import nn

from modeldiff_core.errors import ConfigError

Place = Literal["output", "input", "parameter"]


@dataclass(frozen=True)
class Slice:
    """Where a layer's components stand in a parameter: component c has entries c·size..(c+1)·size − 1 of an axis.

    bias: whether the parameter is one; the public code of the paper leaves biases as they are.
    """

    parameter: str
    axis: int
    bias: bool = False


@dataclass(frozen=True)
class Layer:
    """Components of one module: filters of a convolution, rows or columns of a linear layer, heads of an attention.

    Attributes:
        module: The module's name in the network.
        kind: What its components are called, in the singular.
        place: Where a component is switched off: at the module's output or input, whose axis `axis` holds the
            components, or in its parameters.
        count: How many there are.
        axis: Axis of the output or input (0 is the batch).
        size: Consecutive entries of that axis, and of each parameter's, that a component has.
        slices: The parameters that the components own.

    """

    module: str
    kind: str
    place: Place
    count: int
    axis: int
    size: int
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class Components:
    """All components of a network, layer after layer."""

    layers: tuple[Layer, ...]

    def __len__(self) -> int:
        return sum(layer.count for layer in self.layers)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The number of the first component of each layer."""
        counts = [layer.count for layer in self.layers]
        return tuple(int(start) for start in np.cumsum([0, *counts])[:-1])

    @cached_property
    def layer_of(self) -> Int[np.ndarray, " components"]:
        """The position of each component's layer."""
        return np.repeat(np.arange(len(self.layers)), [layer.count for layer in self.layers])

    def within(self, position: int) -> slice:
        """Return the numbers of the components of the layer at that position."""
        start = self.starts[position]
        return slice(start, start + self.layers[position].count)

    def named(self, component: int) -> str:
        """Return a component's name: its module and its number there, such as ``conv1[5]``."""
        position = int(self.layer_of[component])
        return f"{self.layers[position].module}[{component - self.starts[position]}]"

    def counts(self) -> dict[str, int]:
        """Return the number of components of each layer, by what they are."""
        return {f"{layer.module} ({layer.kind})": layer.count for layer in self.layers}

    def kept(self, ablated: Sequence[int]) -> Bool[np.ndarray, " components"]:
        """Return the mask that leaves out these components."""
        mask = np.ones(len(self), dtype=bool)
        mask[list(ablated)] = False
        return mask


def check_parameters(net: nn.Module, layers: Sequence[Layer], key: str) -> None:
    """Raise ConfigError for weights that two modules share, and for components that were selected twice.

    An ablation of shared weights would change a module that was not asked for, and two components would be one.
    """
    names: dict[int, list[str]] = {}
    for name, parameter in net.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    owners = dict(net.named_parameters(remove_duplicate=False))
    seen: dict[tuple[str, int], str] = {}
    for layer in layers:
        for part in layer.slices:
            shared = names[id(owners[part.parameter])]
            if len(shared) > 1:
                hint = "Tied weights would be counted twice: leave the module out, or give it weights of its own"
                raise ConfigError(key, "weights that one module has", f"{' = '.join(shared)}", hint)
            place = (part.parameter, part.axis)
            if place in seen:
                raise ConfigError(key, "each component once", f"{part.parameter} twice", "Narrow one of the patterns")
            seen[place] = layer.module
