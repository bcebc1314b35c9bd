"""Attributions of components from gradients: gradient × parameter, neuron conductance, internal influence.

All three are sums over a component's own entries and positions of a layer's output h (or input, where its place is the
input), for each target on its own. They are signed like a datamodel's weights: what the output would lose without the
component, to first order.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, vmap

from modeldiff_core.ablation.components import Layer
from modeldiff_core.ablation.subject import Probes, Subject
from modeldiff_core.ablation.together import gated_logits
from modeldiff_core.models.attention import plain_attention

STEPS = 16
"""Points on the path of the two methods that follow one."""
BATCH = 128
"""Targets that are differentiated together."""


@dataclass(frozen=True)
class GradientAttributions:
    """Attributions [targets, components] by method."""

    gradient_parameter: Float[Tensor, "targets components"]
    conductance: Float[Tensor, "targets components"]
    influence: Float[Tensor, "targets components"]


def gradient_attributions(subject: Subject, probes: Probes, steps: int = STEPS) -> GradientAttributions:
    """Return all three attributions of every target.

    gradient × parameter: Σ_p θ_p·∂F/∂θ_p over the component's parameters, which is dF/dg at g = 1 of its gate; with a
    fill r it is Σ (h − r)·∂F/∂h. conductance (Dhamdhere et al., 2018): Σ_s ∂F/∂h(x_s)·(h(x_s) − h(x_{s−1})) along
    x_s = (s/steps)·x from zero inputs. influence (Leino et al., 2018): the mean over the path of Σ ∂F/∂h(x_s).
    Conductance and influence are zero for components that are parameters and have no output of their own, and for
    inputs that are not numbers a path could be drawn through (tokens).
    """
    parts = []
    for at in range(0, len(probes), BATCH):
        rows = slice(at, at + BATCH)
        parts.append(_batch(subject.rows(rows), probes.rows(rows), steps))
    return GradientAttributions(*(torch.cat([part[at] for part in parts]) for at in range(3)))


def _batch(subject: Subject, probes: Probes, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradient × parameter, conductance and influence of some targets."""
    shape = len(probes), len(subject.components)
    slopes, conductance, influence = (torch.zeros(shape, device=subject.device) for _ in range(3))
    before: list[Tensor | None] = [None] * len(subject.components.layers)
    path = [step / steps for step in range(steps + 1)] if probes.inputs.is_floating_point() else [1.0]
    for share in path:
        inputs = probes.inputs if share == 1 else probes.inputs * share
        values, gradients = _layer_gradients(subject, probes, inputs)
        for position, (layer, value) in enumerate(zip(subject.components.layers, values, strict=True)):
            last, slope, at = before[position], gradients[position], subject.components.within(position)
            if value is None or slope is None:
                continue
            if last is not None:
                conductance[:, at] += _sums(slope * (value - last), layer)
                influence[:, at] += _sums(slope, layer) / steps
            if share == 1:
                fill = subject.fills[position]
                slopes[:, at] = _sums(slope * (value if fill is None else value - fill), layer)
        before = values
    parameters = [at for at, layer in enumerate(subject.components.layers) if layer.place == "parameter"]
    if parameters:
        by_gates = _by_gates(subject, probes)
        for position in parameters:
            slopes[:, subject.components.within(position)] = by_gates[:, subject.components.within(position)]
    return slopes, conductance, influence


def _by_gates(subject: Subject, probes: Probes) -> Tensor:
    """Return dF/dg at g = 1 of each target from the gates themselves, for components that have no output."""

    def output(gates: Tensor, x: Tensor, label: Tensor, fills: tuple[Tensor | None, ...]) -> Tensor:
        own = Subject(subject.net, subject.components, fills, subject.keeps_bias)
        return probes.read(gated_logits(own, gates, x[None]), label[None])[0]

    gates = torch.ones(len(subject.components), device=subject.device)
    fills = tuple(None if fill is None else fill[:, None] if len(fill) > 1 else fill for fill in subject.fills)
    axes = tuple(0 if fill is not None and len(fill) > 1 else None for fill in fills)
    with plain_attention():
        found: Tensor = vmap(grad(output), in_dims=(None, 0, 0, axes))(gates, probes.inputs, probes.labels, fills)
    return found.detach()


def _layer_gradients(
    subject: Subject, probes: Probes, inputs: Tensor
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """Return each layer's values and the gradients of each target's output with respect to them."""
    layers = subject.components.layers
    found: list[Tensor | None] = [None] * len(layers)
    hooks = []
    for position, layer in enumerate(layers):
        module = subject.net.get_submodule(layer.module)

        def after(_module: object, _given: object, value: Tensor, at: int = position) -> Tensor:
            found[at] = value if value.requires_grad else value.requires_grad_()
            return value

        def before(_module: object, given: tuple[Tensor, ...], at: int = position) -> tuple[Tensor, ...]:
            found[at] = given[0] if given[0].requires_grad else given[0].requires_grad_()
            return given

        if layer.place == "output":
            hooks.append(module.register_forward_hook(after))
        elif layer.place == "input":
            hooks.append(module.register_forward_pre_hook(before))
    try:
        with torch.enable_grad():
            total = probes.read(subject.net(inputs), probes.labels).sum()
    finally:
        for hook in hooks:
            hook.remove()
    known = [value for value in found if value is not None]
    slopes = iter(torch.autograd.grad(total, known, allow_unused=True) if known else ())
    gradients = [None if value is None else next(slopes) for value in found]
    return [None if value is None else value.detach() for value in found], gradients


def _sums(value: Tensor, layer: Layer) -> Tensor:
    """Return the sums over a component's entries and positions, [targets, components]."""
    spread = value.movedim(layer.axis, 1).flatten(2) if value.dim() > 2 else value[..., None]
    return spread.sum(-1).view(len(value), layer.count, layer.size).sum(-1)
