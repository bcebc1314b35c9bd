"""Attributions against closed forms of linear networks and against axioms."""

import numpy as np
import pytest
import torch
from torch import nn

from modeldiff_core.errors import ConfigError
from modeldiff_core.training.explained import Explained
from modeldiff_core.training.input_attributions import ATTRIBUTIONS, method_of, path_gradients, ranked

RNG = np.random.default_rng(0)
X = torch.from_numpy(RNG.standard_normal((30, 1, 6, 1)))
Y = torch.from_numpy(RNG.integers(0, 3, 30))
WEIGHT = torch.from_numpy(RNG.standard_normal((3, 6)))
LINEAR = Explained(lambda x: x.flatten(1) @ WEIGHT.T, X, Y)
torch.manual_seed(1)
NET = nn.Sequential(nn.Flatten(), nn.Linear(6, 50), nn.Tanh(), nn.Linear(50, 3)).double()


def flat(name: str, explained: Explained = LINEAR) -> np.ndarray:
    return ATTRIBUTIONS.get(name)(explained).detach().numpy().reshape(30, 6)


def test_gradients_of_a_linear_network_are_its_weights() -> None:
    logits = X.flatten(1) @ WEIGHT.T
    own = WEIGHT[logits.argmax(1)].numpy()
    assert len(set(logits.argmax(1).tolist())) == 3
    np.testing.assert_allclose(flat("logit"), np.abs(own))
    np.testing.assert_allclose(flat("gradient_times_input"), np.abs(own * X.flatten(1).numpy()))
    np.testing.assert_allclose(flat("integrated_gradients"), np.abs(own * X.flatten(1).numpy()))
    np.testing.assert_allclose(flat("smooth_gradient"), np.abs(own))
    np.testing.assert_allclose(flat("all_logits"), np.tile(WEIGHT.square().sum(0).sqrt().numpy(), (30, 1)))
    wanted = (logits.softmax(1) - nn.functional.one_hot(Y, 3)) @ WEIGHT
    np.testing.assert_allclose(flat("loss"), wanted.abs().numpy(), atol=1e-12)
    drawn = flat("random_logit")
    assert all(any(np.allclose(row, weights) for weights in WEIGHT.abs().numpy()) for row in drawn)
    assert not np.allclose(drawn, np.abs(own))


def test_integrated_gradients_sum_to_the_difference_of_the_logit() -> None:
    explained = Explained(NET, X, Y)
    classes = explained.predicted()
    with torch.no_grad():
        difference = (NET(X) - NET(torch.zeros_like(X))).gather(1, classes[:, None])[:, 0]
    sums = path_gradients(explained).flatten(1).sum(1)
    assert float(difference.std()) > 0.1
    assert float((sums - difference).abs().max()) < 1e-2


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("captum_saliency", "logit"),
        ("captum_input_x_gradient", "gradient_times_input"),
        ("captum_integrated_gradients", "integrated_gradients"),
    ],
)
def test_methods_of_captum_give_what_those_that_ship_give(name: str, own: str) -> None:
    found = flat(name, Explained(NET, X, Y))
    assert found.std() > 0.02
    np.testing.assert_allclose(found, flat(own, Explained(NET, X, Y)), atol=1e-9)


def test_methods_of_captum_that_draw_follow_their_seed_and_those_that_ablate_are_exact() -> None:
    shipped, found = (flat(name, Explained(NET, X, Y)) for name in ("smooth_gradient", "captum_smooth_gradient"))
    assert np.corrcoef(shipped.ravel(), found.ravel())[0, 1] > 0.9
    before = torch.random.get_rng_state()
    np.testing.assert_array_equal(found, flat("captum_smooth_gradient", Explained(NET, X, Y)))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not np.allclose(found, flat("captum_smooth_gradient", Explained(NET, X, Y, (1,))))
    own = WEIGHT[LINEAR.predicted()].numpy()
    np.testing.assert_allclose(flat("captum_feature_ablation"), np.abs(own * X.flatten(1).numpy()))


def test_a_method_of_captum_without_captum_is_refused_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeldiff_core.training.captum_attributions.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"attributions: expected a method whose package is installed, .*pip install"):
        method_of("captum_saliency")
    assert method_of("logit") is ATTRIBUTIONS.get("logit")


def test_random_scores_are_a_function_of_their_seed_alone() -> None:
    one, same, other = (flat("random", Explained(NET, X, Y, seed)) for seed in ((0,), (0,), (1,)))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_ranks_fall_with_the_score_and_ties_come_in_a_random_order() -> None:
    scores = RNG.random((2000, 5)).round(1)
    order = ranked(scores, (0,))
    assert (np.diff(np.take_along_axis(scores, order, 1), axis=1) <= 0).all()
    assert (np.sort(order, axis=1) == np.arange(5)).all()
    first = np.bincount(ranked(np.zeros((2000, 5)), (1,))[:, 0], minlength=5)
    assert first.min() > 330  # 400 expected, standard deviation 18


def test_an_unknown_method_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match=r"attributions: expected one of all_logits, .*smooth_gradient, got 'lime'"):
        ATTRIBUTIONS.get("lime")
