"""Outputs of many ablated copies in one pass are those of a plain loop that zeroes weights in a copy."""

import numpy as np
import pytest
import torch
from torch import nn

from modeldiff_core.ablation import (
    Reference,
    Selection,
    ablated_outputs,
    check_bfloat16,
    find_components,
    subject_of,
)
from modeldiff_core.ablation.chain import chain_of
from modeldiff_core.ablation.together import outputs_together
from modeldiff_core.errors import ConfigError
from tests.modeldiff_core.ablation.networks import Attentive, Residual, plain_loop, probes, seeded, small

FILTERS, ROWS = Selection("filters"), Selection("rows")
CASES: dict[str, tuple[nn.Module, list[Selection]]] = {
    "mlp of one layer": (small("mlp", (9,)), [ROWS]),
    "mlp": (small("mlp", (9, 7)), [ROWS]),
    "mlp, second layer": (small("mlp", (9, 7)), [Selection("rows", "1")]),
    "mlp, head alone": (small("mlp", (9,)), [Selection("rows", "1")]),
    "cnn of one layer": (small("cnn", (5,)), [FILTERS]),
    "cnn": (small("cnn", (5, 6, 7)), [FILTERS]),
    "cnn, second layer": (small("cnn", (5, 6)), [Selection("filters", "conv1")]),
    "cnn, first and third": (small("cnn", (5, 6, 7)), [Selection("filters", "conv[02]")]),
    "mlp, inputs": (small("mlp", (9, 7)), [Selection("inputs", "1")]),
    "residual": (seeded(Residual), [FILTERS]),
    "residual, inside the block": (seeded(Residual), [Selection("filters", "conv"), Selection("rows", "head")]),
    "attention, heads": (seeded(Attentive), [Selection("heads")]),
    "attention, everything": (
        seeded(Attentive),
        [Selection("rows", leave_out="head"), Selection("heads", "layer.self_attn")],
    ),
}


def drawn(rows: int, components: int) -> np.ndarray:
    masks = np.random.default_rng(0).random((rows, components)) < 0.7
    masks[0], masks[1] = True, False
    return masks


@pytest.mark.parametrize("keep_bias", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_a_loop_over_copies(name: str, keep_bias: bool) -> None:
    net, selections = CASES[name]
    if name == "attention, everything":  # heads and the rows that join them share one weight along two axes
        selections = [Selection("rows", r".*(linear.|self_attn)"), Selection("heads", "layer.self_attn")]
    components, asked = find_components(net, selections), probes()
    masks = drawn(9, len(components))
    expected = plain_loop(net, components, asked, masks, keep_bias)
    found = ablated_outputs(subject_of(net, components, "weights" if keep_bias else "zero"), asked, masks)
    assert np.ptp(expected, axis=0).min() > 0.001
    assert np.ptp(expected, axis=0).mean() > 0.03
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    before = asked.read(net(asked.inputs), asked.labels)
    np.testing.assert_allclose(found[0], before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fill", ["zero", "weights", "mean", "resample"])
@pytest.mark.parametrize("name", ["mlp", "cnn", "cnn, second layer", "cnn, first and third"])
def test_both_ways_agree_on_a_chain(name: str, fill: str) -> None:
    net, selections = CASES[name]
    components, asked = find_components(net, selections), probes()
    subject = subject_of(net, components, fill, Reference(asked.inputs))  # type: ignore[arg-type]
    masks = drawn(9, len(components))
    assert chain_of(subject) is not None
    together = outputs_together(subject, asked, torch.from_numpy(masks).float(), 2**22)
    np.testing.assert_allclose(ablated_outputs(subject, asked, masks), together, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["cnn", "residual", "attention, heads"])
def test_memory_bounds_a_launch_and_changes_no_output(name: str) -> None:
    net, selections = CASES[name]
    components, asked = find_components(net, selections), probes(23)
    subject, masks = subject_of(net, components, "zero"), drawn(9, len(components))
    whole = ablated_outputs(subject, asked, masks)
    sizes: list[int] = []
    for module in net.modules():
        module.register_forward_hook(
            lambda _m, _i, out: sizes.append(out.numel() if isinstance(out, torch.Tensor) else 0)
        )
    little = ablated_outputs(subject, asked, masks, memory=20_000)
    np.testing.assert_allclose(little, whole, atol=1e-5, rtol=0)
    assert max(sizes) * 4 <= 20_000
    for module in net.modules():
        module._forward_hooks.clear()


def test_a_mean_is_that_of_the_reference_over_examples_and_positions() -> None:
    net, asked = seeded(Residual), probes()
    components = find_components(net, [Selection("filters", "conv")])
    subject = subject_of(net, components, "mean", Reference(asked.inputs))
    with torch.no_grad():
        x = net.get_submodule("stem")(asked.inputs).relu()
        mean = net.get_submodule("conv")(x).mean((0, 2, 3), keepdim=True).expand(12, 4, 8, 8)
        y = (x + net.get_submodule("bn")(mean)).relu()
        expected = asked.read(net.get_submodule("head")(y.mean((2, 3))), asked.labels)
    found = ablated_outputs(subject, asked, np.zeros((1, 4), dtype=bool))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_resampled_components_are_those_of_another_target() -> None:
    net, asked = small("cnn", (5,)), probes()
    components = find_components(net, [FILTERS])
    subject = subject_of(net, components, "resample", Reference(asked.inputs))
    nothing = ablated_outputs(subject, asked, np.zeros((1, 5), dtype=bool))[0]
    with torch.no_grad():
        logits = net(asked.inputs)
    sources = []
    for target in range(12):  # everything resampled: the logits of some other target, under this one's label
        fits = [
            other
            for other in range(12)
            if abs(float(asked.read(logits[other : other + 1], asked.labels[target : target + 1])) - nothing[target])
            < 1e-5
        ]
        sources += fits[:1]
    assert sorted(sources) == list(range(12))
    assert all(source != target for target, source in enumerate(sources))


def test_batch_normalization_after_an_ablated_filter_keeps_its_statistics() -> None:
    net, asked = seeded(Residual).train(), probes()
    components = find_components(net, [Selection("filters", "conv")])
    bn = net.get_submodule("bn")
    assert isinstance(bn, nn.BatchNorm2d)
    before = {name: value.clone() for name, value in bn.state_dict().items()}
    assert bn.running_mean is not None
    assert bn.running_var is not None
    constant = bn.bias - bn.weight * bn.running_mean / (bn.running_var + bn.eps).sqrt()
    with torch.no_grad():
        x = net.get_submodule("stem")(asked.inputs).relu()
        expected = net.get_submodule("head")((x + constant[:, None, None]).relu().mean((2, 3)))
    found = ablated_outputs(subject_of(net, components, "zero"), asked, np.zeros((1, 4), dtype=bool))[0]
    np.testing.assert_allclose(found, asked.read(expected, asked.labels), atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in bn.state_dict().items())


def test_a_parameter_has_no_mean() -> None:
    net = seeded(Attentive)
    components = find_components(net, [Selection("heads")])
    with pytest.raises(ConfigError, match=r"ablation.fill: expected zero or weights, since layer.self_attn.out_proj"):
        subject_of(net, components, "mean", Reference(probes().inputs))


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "attention, heads"])
def test_bfloat16_gives_nearly_the_outputs_of_float32(name: str) -> None:
    net, selections = CASES[name]
    components, asked = find_components(net, selections), probes(40)
    subject, masks = subject_of(net, components, "zero"), drawn(20, len(components))
    exact = ablated_outputs(subject, asked, masks)
    found = ablated_outputs(subject, asked, masks, precision="bfloat16")
    assert found.dtype == np.float32
    assert np.abs(found - exact).max() > 1e-6, "it was computed in bfloat16"
    changes = np.sqrt(np.mean((exact - exact[:1]) ** 2))
    assert np.sqrt(np.mean((found - exact) ** 2)) < 0.05 * changes
    check_bfloat16(subject, asked, masks)


def test_bfloat16_is_refused_where_it_hides_what_ablation_changes() -> None:
    """A constant of 1,000 in the logits leaves bfloat16 no digit for what the filters do."""
    net, asked = small("cnn", (5,)), probes()
    head = net.get_submodule("head")
    assert isinstance(head, nn.Linear)
    head.bias.data += 1000.0 * torch.randperm(10)
    components = find_components(net, [FILTERS])
    subject, masks = subject_of(net, components, "zero"), drawn(9, 5)
    with pytest.raises(ConfigError, match=r"ablation.precision: expected float32, since bfloat16's outputs differ"):
        check_bfloat16(subject, asked, masks)
    check_bfloat16(subject, asked, np.ones((3, 5), dtype=bool))
