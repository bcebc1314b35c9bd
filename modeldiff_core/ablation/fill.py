"""What takes the place of an ablated component: zero, its bias, its mean over data, its value on another example."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from modeldiff_core.ablation.components import Components, Layer
from modeldiff_core.ablation.subject import Subject
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator

FillKind = Literal["zero", "weights", "mean", "resample"]
"""What takes an ablated component's place; `subject_of` says what each does."""
KEY = "ablation.fill"


@dataclass(frozen=True)
class Reference:
    """Inputs that a fill is taken from: some of the training set for means, the targets themselves for resampling."""

    inputs: Tensor
    seed: int = 0


def subject_of(net: nn.Module, components: Components, fill: FillKind, reference: Reference | None = None) -> Subject:
    """Return a network ready for ablation.

    Args:
        net: The network; it is put into evaluation mode, so that batch normalization keeps its statistics whatever is
            ablated before it, and dropout does nothing.
        components: Its components.
        fill: 'zero': weights and bias are zero. 'weights': weights alone are zero, as in the paper's public code.
            'mean': a component gives its mean over the reference and over positions. 'resample': what it gives on
            another target, drawn for each target.
        reference: Needed for the last two.

    Raises:
        ConfigError: For a mean or a resampled value of components that are parameters and have no output of their own.

    """
    net.eval()
    if fill in ("zero", "weights"):
        fills = tuple(_bias(net, layer) if fill == "weights" else None for layer in components.layers)
        return Subject(net, components, fills, keeps_bias=fill == "weights")
    for layer in components.layers:
        if layer.place == "parameter":
            expected = f"zero or weights, since {layer.module} ({layer.kind}) has no output of its own"
            raise ConfigError(KEY, expected, fill)
    assert reference is not None
    if fill == "resample":
        count = len(reference.inputs)
        shift = generator("resample", reference.seed).permutation(count)
        order = torch.empty(count, dtype=torch.long)  # a cycle through all targets: none is its own replacement
        order[torch.from_numpy(shift)] = torch.from_numpy(shift).roll(-1)
        return Subject(net, components, captured(net, components, reference.inputs[order.to(reference.inputs.device)]))
    values = captured(net, components, reference.inputs)
    return Subject(net, components, tuple(_mean(v, layer) for v, layer in zip(values, components.layers, strict=True)))


@torch.no_grad()
def captured(net: nn.Module, components: Components, inputs: Tensor) -> tuple[Tensor, ...]:
    """Return what each layer of components gives (or takes, where its place is the input); nothing for parameters."""
    found: dict[int, Tensor] = {}
    hooks = []
    for position, layer in enumerate(components.layers):
        module = net.get_submodule(layer.module)

        def after(_module: nn.Module, _given: object, value: Tensor, at: int = position) -> None:
            found[at] = value.detach()

        def before(_module: nn.Module, given: tuple[Tensor, ...], at: int = position) -> None:
            found[at] = given[0].detach()

        if layer.place == "output":
            hooks.append(module.register_forward_hook(after))
        elif layer.place == "input":
            hooks.append(module.register_forward_pre_hook(before))
    try:
        net(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    nothing = inputs.new_empty(0)
    return tuple(found.get(position, nothing) for position in range(len(components.layers)))


def _bias(net: nn.Module, layer: Layer) -> Tensor | None:
    """Return the bias as the output of a component without weights; None where there is none."""
    own = [part for part in layer.slices if part.bias]
    if layer.place != "output" or not own:
        return None
    bias = net.get_parameter(own[0].parameter).detach()
    positions = 0 if layer.axis == -1 else net.get_parameter(f"{layer.module}.weight").dim() - 2
    return bias.view(1, -1, *[1] * positions)


def _mean(value: Tensor, layer: Layer) -> Tensor:
    axis = layer.axis % value.dim()
    return value.mean([other for other in range(value.dim()) if other != axis], keepdim=True)
