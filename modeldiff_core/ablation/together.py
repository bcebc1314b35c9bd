"""Many ablated copies of any network in one pass: a gate for each component, and torch's vmap over the gates.

What does not depend on a gate is computed once for all copies, whatever the network's graph; convolutions and products
after the first gate run on the batch of all copies with one set of weights.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from modeldiff_core.ablation.components import Layer, Slice
from modeldiff_core.ablation.subject import Probes, Subject, gated
from modeldiff_core.models.attention import plain_attention

WORKING = 4
"""Activations of the size of the largest that are in memory at once, for the limit on memory."""


def gated_logits(subject: Subject, gates: Tensor, inputs: Tensor) -> Tensor:
    """Return the logits of one copy, whose components are multiplied by `gates` [components]."""
    with ExitStack() as hooks:
        changed: dict[str, Tensor] = {}
        for position, (layer, fill) in enumerate(zip(subject.components.layers, subject.fills, strict=True)):
            gate = gates[subject.components.within(position)]
            if layer.place == "parameter":
                changed |= _gated_parameters(subject, layer, gate)
            else:
                hooks.enter_context(_gating(subject.net, layer, gate, fill))
        logits: Tensor = functional_call(subject.net, changed, (inputs,)) if changed else subject.net(inputs)
        return logits


@torch.no_grad()
def outputs_together(
    subject: Subject, probes: Probes, gates: Float[Tensor, "rows components"], memory: int
) -> Float[Tensor, "rows targets"]:
    """Return the outputs of all rows of gates on all targets, in launches that fit into `memory` bytes."""
    copies, step = _launch(subject, probes, memory)
    parts = []
    with plain_attention():
        for at in range(0, len(probes), step):
            rows = slice(at, at + step)
            some, own = probes.rows(rows), subject.rows(rows)

            def logits(gate: Tensor, own: Subject = own, inputs: Tensor = some.inputs) -> Tensor:
                return gated_logits(own, gate, inputs)

            found = [vmap(logits)(part) for part in gates.split(copies)]
            parts.append(torch.cat([some.read(one, some.labels).float() for one in found]))
    return torch.cat(parts, 1)


def largest_activation(net: nn.Module, inputs: Tensor) -> int:
    """Return the floats of the largest output of any module for one example."""
    largest = inputs[0].numel()

    def note(_module: nn.Module, _given: object, value: object) -> None:
        nonlocal largest
        if isinstance(value, Tensor) and len(value):
            largest = max(largest, value.numel() // len(inputs))

    hooks = [module.register_forward_hook(note) for module in net.modules()]
    try:
        with torch.no_grad():
            net(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return largest


def _launch(subject: Subject, probes: Probes, memory: int) -> tuple[int, int]:
    """Return how many copies, and how many targets, one launch has: all targets where a copy of them fits."""
    with plain_attention():
        floats = largest_activation(subject.net, probes.inputs[:2])
    pairs = max(1, memory // (WORKING * 4 * floats))
    return max(1, pairs // len(probes)), min(len(probes), pairs)


def _gated_parameters(subject: Subject, layer: Layer, gate: Tensor) -> dict[str, Tensor]:
    factor = gate.repeat_interleave(layer.size) if layer.size > 1 else gate
    return {
        part.parameter: _along(subject.net.get_parameter(part.parameter), factor, part)
        for part in layer.slices
        if not (part.bias and subject.keeps_bias)
    }


def _along(parameter: Tensor, factor: Tensor, part: Slice) -> Tensor:
    shape = [1] * parameter.dim()
    shape[part.axis] = -1
    return parameter * factor.view(shape)


@contextmanager
def _gating(net: nn.Module, layer: Layer, gate: Tensor, fill: Tensor | None) -> Iterator[None]:
    module = net.get_submodule(layer.module)

    def after(_module: nn.Module, _given: object, value: Tensor) -> Tensor:
        return gated(value, gate, layer, fill)

    def before(_module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return gated(given[0], gate, layer, fill), *given[1:]

    at_output = layer.place == "output"
    hook = module.register_forward_hook(after) if at_output else module.register_forward_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()
