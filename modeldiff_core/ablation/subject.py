"""What is ablated: a network with weights, its components and what takes their place; and what is asked of it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modeldiff_core.ablation.components import Components, Layer

Read = Callable[[Tensor, Tensor], Tensor]
"""Logits [..., targets, *, classes] and labels [targets, *] to outputs [..., targets]."""


@dataclass(frozen=True)
class Probes:
    """The targets of a network: prepared inputs, labels, and the output that is recorded of each."""

    inputs: Tensor
    labels: Tensor
    read: Read

    def __len__(self) -> int:
        return len(self.inputs)

    def rows(self, at: slice) -> "Probes":
        """Return some of the targets."""
        return Probes(self.inputs[at], self.labels[at], self.read)


@dataclass(frozen=True)
class Subject:
    """A network in evaluation mode.

    Attributes:
        net: The network with its weights.
        components: What can be ablated.
        fills: What takes a component's place in each layer, broadcast over the layer's output or input; None for zero.
            A first axis longer than 1 is that of the targets.
        keeps_bias: Whether an ablated component keeps its bias: only its weights are zero.

    """

    net: nn.Module
    components: Components
    fills: tuple[Tensor | None, ...]
    keeps_bias: bool = False

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(iter(self.net.parameters())).device

    def rows(self, at: slice) -> "Subject":
        """Return the subject for some of the targets: fills that belong to a target follow it."""
        fills = tuple(fill if fill is None or len(fill) == 1 else fill[at] for fill in self.fills)
        return Subject(self.net, self.components, fills, self.keeps_bias)


def gated(value: Tensor, gate: Tensor, layer: Layer, fill: Tensor | None) -> Tensor:
    """Return gate·value + (1 − gate)·fill; gate: [components of the layer], 1 for a component that is there."""
    if layer.size > 1:
        gate = gate.repeat_interleave(layer.size)
    shape = [1] * value.dim()
    shape[layer.axis] = -1
    factor = gate.view(shape)
    return value * factor if fill is None else value * factor + fill * (1 - factor)
