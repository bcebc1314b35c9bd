"""Components are found by type and name in any module, and what cannot be a component is refused by its key."""

import re

import pytest
import torch
from torch import nn

from modeldiff_core.ablation import Selection, find_components
from modeldiff_core.errors import ConfigError
from tests.modeldiff_core.ablation.networks import Attentive, Residual, small


def test_filters_rows_and_inputs_are_counted_by_layer() -> None:
    net = small("cnn", (5, 6))
    found = find_components(net, [Selection("filters")])
    assert found.counts() == {"conv0 (filter)": 5, "conv1 (filter)": 6}
    assert len(found) == 11
    assert found.starts == (0, 5)
    assert (found.named(4), found.named(5)) == ("conv0[4]", "conv1[0]")
    assert found.layer_of.tolist() == [0] * 5 + [1] * 6
    assert find_components(small("mlp", (9, 7)), [Selection("rows")]).counts() == {"0 (row)": 9, "1 (row)": 7}
    assert find_components(small("mlp", (9,)), [Selection("inputs", "1")]).counts() == {"1 (input)": 9}


def test_a_regular_expression_matches_a_whole_name() -> None:
    net = small("cnn", (5, 6, 7))
    assert len(find_components(net, [Selection("filters", "conv[01]")])) == 11
    assert len(find_components(net, [Selection("filters", leave_out="conv0")])) == 13
    with pytest.raises(ConfigError, match=r"components.0.pattern"):
        find_components(net, [Selection("filters", "conv")])


def test_heads_and_neurons_of_a_transformer() -> None:
    net = Attentive()
    assert find_components(net, [Selection("heads")]).counts() == {"layer.self_attn.out_proj (head)": 2}
    assert find_components(net, [Selection("neurons")]).counts() == {"layer.linear1 (neuron)": 12}
    rows = find_components(net, [Selection("rows", leave_out="head")]).counts()
    assert rows == {
        "layer.self_attn (row)": 24,
        "layer.self_attn.out_proj (row)": 8,
        "layer.linear1 (row)": 12,
        "layer.linear2 (row)": 8,
    }


def test_the_head_is_no_component_unless_it_is_named() -> None:
    assert "head" not in str(find_components(small("cnn", (5,)), [Selection("filters")]).counts())
    assert find_components(small("cnn", (5,)), [Selection("rows", "head")]).counts() == {"head (row)": 10}


def test_components_are_found_without_values() -> None:
    with torch.device("meta"):
        assert len(find_components(Residual(), [Selection("filters")])) == 8


@pytest.mark.parametrize(
    ("selections", "message"),
    [
        (
            [Selection("filters", "layer9")],
            "components.0.pattern: expected a pattern that matches a module that has filters",
        ),
        (
            [Selection("filters"), Selection("rows", "bn")],
            "components.1.pattern: expected the name of a module with weights",
        ),
        ([Selection("filters", "conv"), Selection("filters", "con.")], "components: expected each component once"),
        ([Selection("filtres")], "components.kind: expected one of filters, heads, inputs, neurons, rows"),
        ([], "components: expected one selection"),
    ],
)
def test_what_selects_nothing_is_refused(selections: list[Selection], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        find_components(Residual(), selections)


def test_a_module_without_weights_is_named() -> None:
    class Pooled(Residual):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.MaxPool2d(2)

    with pytest.raises(ConfigError, match=r"module with weights that has filters, got 'pool'.*pool \(MaxPool2d\)"):
        find_components(Pooled(), [Selection("filters", "pool")])


def test_tied_weights_are_refused_and_counted_once_nowhere() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
            self.second.weight = self.first.weight

    with pytest.raises(ConfigError, match=r"weights that one module has, got 'first.weight = second.weight'"):
        find_components(Tied(), [Selection("rows", "first")])


def test_a_pattern_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"components.pattern: expected a regular expression"):
        Selection("filters", "conv(")
