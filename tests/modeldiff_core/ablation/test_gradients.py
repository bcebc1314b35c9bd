"""Attributions from gradients agree with finite differences and with what they sum to."""

import numpy as np
import pytest
import torch
from torch import nn

from modeldiff_core.ablation import (
    Probes,
    Reference,
    Selection,
    Subject,
    find_components,
    gradient_attributions,
    subject_of,
)
from modeldiff_core.ablation.together import gated_logits
from tests.modeldiff_core.ablation.networks import Attentive, Residual, probes, seeded


class Smooth(nn.Module):
    """A network without kinks, so that finite differences are exact."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.second = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.second(torch.tanh(self.conv(x))))
        return self.head(x.mean((2, 3)))


def doubled(net: nn.Module, fill: str = "zero") -> tuple[Subject, Probes]:
    net, asked = net.double(), probes()
    asked = Probes(asked.inputs.double(), asked.labels, lambda logits, labels: logits.gather(-1, labels[:, None])[:, 0])
    components = find_components(net, [Selection("filters" if isinstance(net, Smooth) else "heads")])
    return subject_of(net, components, fill, Reference(asked.inputs)), asked  # type: ignore[arg-type]


@pytest.mark.parametrize("fill", ["zero", "weights", "mean", "resample"])
def test_gradient_times_parameter_is_the_slope_of_a_gate(fill: str) -> None:
    subject, asked = doubled(seeded(Smooth), fill)
    found = gradient_attributions(subject, asked).gradient_parameter
    step, ones = 1e-5, torch.ones(len(subject.components), dtype=torch.float64)
    for component in range(len(ones)):
        ends = []
        for sign in (1, -1):
            gates = ones.clone()
            gates[component] += sign * step
            ends.append(asked.read(gated_logits(subject, gates, asked.inputs), asked.labels))
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(found[:, component], slope, atol=1e-7)
    assert found.abs().max() > 0.01


def test_gradient_times_parameter_is_the_sum_over_a_filters_parameters() -> None:
    subject, asked = doubled(seeded(Smooth))
    net = subject.net.requires_grad_(True)
    found = gradient_attributions(subject, asked).gradient_parameter
    net.zero_grad()
    asked.rows(slice(3, 4)).read(net(asked.inputs[3:4]), asked.labels[3:4]).sum().backward()
    conv = net.get_submodule("conv")
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight.grad is not None
    assert conv.bias is not None
    assert conv.bias.grad is not None
    expected = (conv.weight * conv.weight.grad).sum((1, 2, 3)) + conv.bias * conv.bias.grad
    np.testing.assert_allclose(found[3, :3], expected.detach(), atol=1e-10)


def test_conductance_of_a_layer_sums_to_the_change_along_the_path() -> None:
    subject, asked = doubled(seeded(Smooth))
    found = gradient_attributions(subject, asked, steps=100).conductance
    with torch.no_grad():
        ends = [asked.read(subject.net(inputs), asked.labels) for inputs in (asked.inputs, 0 * asked.inputs)]
    for layer in range(2):
        total = found[:, subject.components.within(layer)].sum(1)
        np.testing.assert_allclose(total, ends[0] - ends[1], atol=0.002)
    assert (ends[0] - ends[1]).abs().max() > 0.03


def test_influence_is_the_mean_slope_of_a_layers_output_along_the_path() -> None:
    subject, asked = doubled(seeded(Smooth))
    steps, h = 4, 1e-5
    found = gradient_attributions(subject, asked, steps=steps).influence
    conv = subject.net.get_submodule("conv")
    for channel in range(3):
        expected = torch.zeros(len(asked), dtype=torch.float64)
        for step in range(1, steps + 1):
            ends = []
            for sign in (1, -1):
                by = sign * h * (torch.arange(3) == channel).double()[:, None, None]

                def shifted(_m: object, _i: object, out: torch.Tensor, by: torch.Tensor = by) -> torch.Tensor:
                    return out + by

                hook = conv.register_forward_hook(shifted)
                with torch.no_grad():
                    ends.append(asked.read(subject.net(asked.inputs * (step / steps)), asked.labels))
                hook.remove()
            expected += (ends[0] - ends[1]) / (2 * h) / steps
        np.testing.assert_allclose(found[:, channel], expected, atol=1e-8)


def test_a_component_that_is_a_parameter_has_a_slope_and_no_path() -> None:
    subject, asked = doubled(seeded(Attentive))
    found = gradient_attributions(subject, asked)
    assert found.gradient_parameter.abs().max() > 1e-4
    assert found.conductance.abs().max() == 0


def test_a_network_with_kinks_has_finite_attributions() -> None:
    net, asked = seeded(Residual), probes(150)
    subject = subject_of(net, find_components(net, [Selection("filters")]), "zero")
    found = gradient_attributions(subject, asked)
    for values in (found.gradient_parameter, found.conductance, found.influence):
        assert values.shape == (150, 8)
        assert torch.isfinite(values).all()
        assert (values != 0).any(0).all()
