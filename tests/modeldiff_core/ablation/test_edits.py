"""Edits: scores as in the paper, sets that cost little, and networks that keep an edit in their weights."""

import numpy as np
import pytest
from torch import nn

from modeldiff_core.ablation import (
    Aim,
    Choosing,
    FillKind,
    Reference,
    Selection,
    ablated_outputs,
    edited_state,
    find_components,
    limited_loss_set,
    subject_of,
    welch_scores,
)
from modeldiff_core.ablation.edits import in_order
from modeldiff_core.errors import ConfigError
from tests.modeldiff_core.ablation.networks import Attentive, Residual, probes, seeded, small


def test_scores_are_the_difference_of_means_over_its_standard_error() -> None:
    rng = np.random.default_rng(0)
    targets, reference = rng.standard_normal((5, 4)), rng.standard_normal((9, 4)) + 1
    targets[:, 3] = reference[:, 3] = 2.0
    found = welch_scores(targets, reference)
    for component in range(3):
        t, r = targets[:, component], reference[:, component]
        expected = (t.mean() - r.mean()) / np.sqrt(t.std() ** 2 / 5 + r.std() ** 2 / 9)
        assert found[component] == pytest.approx(expected)
    assert found[3] == 0
    assert in_order(np.array([0.5, -2.0, 1.0]), raises=True).tolist() == [1, 0, 2]
    assert in_order(np.array([0.5, -2.0, 1.0]), raises=False).tolist() == [2, 0, 1]


def linear(weights: np.ndarray, bias: np.ndarray, targets: int) -> Choosing:
    return Choosing(lambda masks: masks @ weights.T + bias, weights[:targets], weights[targets:])


@pytest.mark.parametrize("raises", [True, False])
def test_a_set_takes_what_helps_the_targets_and_spares_the_reference(raises: bool) -> None:
    """Component 0 holds the targets back alone, 1 costs the reference as much, 2 is the reference's, 3 does nothing."""
    sign = -1.0 if raises else 1.0
    of_targets, of_reference = [3 * sign, 3 * sign, 0.1, 0.0], [0.0, 4.0, 2.0, 0.0]
    weights = np.array([of_targets] * 4 + [of_reference] * 6)
    bias = np.array([sign * -3.0 if not raises else 3.0] * 4 + [-3.0] * 6)
    assert limited_loss_set(linear(weights, bias, 4), Aim(raises, limit=0.0)) == [0]


def test_the_limit_keeps_the_share_of_right_examples() -> None:
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((60, 30))
    bias = np.where(np.arange(60) < 10, -4.0, 3.0) - weights.sum(1) + rng.standard_normal(60) * 0.3
    choosing = linear(weights, bias, 10)
    sizes = []
    for limit in (0.0, 0.1, 0.4):
        chosen = limited_loss_set(choosing, Aim(True, limit, most=30))
        mask = np.ones(30, dtype=bool)
        before = choosing.outputs(mask[None])[0]
        mask[chosen] = False
        after = choosing.outputs(mask[None])[0]
        assert (after[10:] > 0).mean() >= (before[10:] > 0).mean() - limit
        assert after[:10].mean() > before[:10].mean() + 1
        assert len(set(chosen)) == len(chosen)
        sizes.append(len(chosen))
    assert sizes[0] > 0
    assert len(limited_loss_set(choosing, Aim(True, 0.4, most=2))) == 2


def test_a_component_is_given_back_for_one_that_costs_less() -> None:
    """Component 0 helps most at first and costs the reference; 1 and 2 do as much together and cost nothing."""
    weights = np.array([[-3.0, -2.5, -2.5, 0.0]] * 4 + [[2.5, 0.0, 0.0, 0.0]] * 8)
    bias = np.array([4.0] * 4 + [0.5] * 8)
    enough = Aim(True, limit=0.5, enough=0.9)
    assert sorted(limited_loss_set(linear(weights, bias, 4), enough)) == [1, 2]
    assert limited_loss_set(linear(weights, bias, 4), Aim(True, limit=0.5, enough=-1.6)) == [1]


def test_what_is_blocked_by_the_limit_leaves_room_for_others() -> None:
    """The 16 components that help most each cost a reference example; further ones cost nothing."""
    helps = np.array([-1.0] * 16 + [-0.5] * 4)
    weights = np.array([helps] * 4 + [np.where(np.arange(20) == other, 9.0, 0.0) for other in range(16)])
    bias = np.array([11.0] * 4 + [-3.0] * 16)
    chosen = limited_loss_set(linear(weights, bias, 4), Aim(True, limit=0.0))
    assert sorted(chosen) == [16, 17, 18, 19]


@pytest.mark.parametrize("fill", ["zero", "weights", "mean"])
def test_an_edited_network_gives_what_its_ablation_gives(fill: FillKind) -> None:
    net, asked = small("cnn", (5, 6)), probes()
    components = find_components(net, [Selection("filters")])
    subject = subject_of(net, components, fill, Reference(asked.inputs))
    kept = components.kept([0, 3, 7])
    expected = ablated_outputs(subject, asked, kept[None])[0]
    before = asked.read(net(asked.inputs), asked.labels).numpy()
    assert np.abs(before - expected).max() > 0.01
    other = small("cnn", (5, 6))
    other.load_state_dict(edited_state(subject, kept))
    found = asked.read(other(asked.inputs), asked.labels).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(asked.read(net(asked.inputs), asked.labels), before)


@pytest.mark.parametrize(("make", "selection"), [(Attentive, Selection("heads")), (Residual, Selection("filters"))])
def test_heads_and_filters_beside_shortcuts_are_edited_too(make: type[nn.Module], selection: Selection) -> None:
    net, asked = seeded(make), probes()
    components = find_components(net, [selection])
    subject, kept = subject_of(net, components, "zero"), components.kept([1])
    expected = ablated_outputs(subject, asked, kept[None])[0]
    other = seeded(make, 5)
    other.load_state_dict(edited_state(subject, kept))
    np.testing.assert_allclose(asked.read(other(asked.inputs), asked.labels).detach(), expected, atol=1e-5)


def test_what_no_weights_give_cannot_be_kept() -> None:
    asked = probes()
    for net, fill in ((small("cnn", (5,)), "resample"), (seeded(Residual), "mean")):
        components = find_components(net, [Selection("filters")])
        subject = subject_of(net, components, fill, Reference(asked.inputs))
        with pytest.raises(
            ConfigError, match=r"ablation.fill: expected zero or weights, or mean where components have"
        ):
            edited_state(subject, components.kept([0]))
