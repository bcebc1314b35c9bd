"""Margins against a plain loop over models and targets."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.errors import ConfigError
from modeldiff_core.margins import OUTPUTS, class_probability, correct_class_margin, log_odds


def looped(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """z_y − max_{j≠y} z_j, one target after another."""
    out = np.empty(logits.shape[:-1], np.float32)
    for where in np.ndindex(*out.shape):
        z, label = list(logits[where]), int(labels[where[-1]])
        correct = z.pop(label)
        out[where] = np.float32(correct) - np.float32(max(z))
    return out


@given(
    lead=st.sampled_from([(), (1,), (4,), (2, 3)]),
    targets=st.integers(1, 6),
    classes=st.integers(2, 5),
    seed=st.integers(0, 10**6),
)
def test_margins_are_those_of_the_loop(lead: tuple[int, ...], targets: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=10, size=(*lead, targets, classes)).astype(np.float32)
    labels = rng.integers(classes, size=targets)
    got = correct_class_margin(torch.from_numpy(logits), torch.from_numpy(labels)).numpy()
    np.testing.assert_array_equal(got, looped(logits, labels))


def test_sign_says_whether_the_prediction_is_right() -> None:
    logits = torch.tensor([[[1.0, 5.0, 2.0], [1.0, 5.0, 2.0]]])
    assert correct_class_margin(logits, torch.tensor([1, 0])).tolist() == [[3.0, -4.0]]


def test_a_tie_has_margin_zero() -> None:
    assert correct_class_margin(torch.tensor([[2.0, 2.0, 1.0]]), torch.tensor([0])).item() == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_logit_that_is_not_finite_never_passes_for_a_margin(bad: float) -> None:
    logits = torch.tensor([[[1.0, bad, 2.0], [1.0, 3.0, 2.0]]])
    margins = correct_class_margin(logits, torch.tensor([0, 1]))
    assert margins.isfinite().tolist() == [[False, True]]
    assert margins[0, 1] == 1


def test_log_odds_and_probability_are_those_of_the_softmax() -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(scale=4, size=(3, 50, 6)).astype(np.float32))
    labels = torch.from_numpy(rng.integers(6, size=50))
    p = logits.double().softmax(-1).gather(-1, labels.expand(3, 50)[..., None])[..., 0]
    assert p.min() < 0.01
    assert p.max() > 0.9
    torch.testing.assert_close(class_probability(logits, labels).double(), p, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(log_odds(logits, labels).double(), (p / (1 - p)).log(), rtol=1e-4, atol=1e-4)


def test_log_odds_do_not_saturate_where_probabilities_do() -> None:
    logits, labels = torch.tensor([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]]), torch.tensor([0, 0])
    assert class_probability(logits, labels).tolist() == [1, 0]
    torch.testing.assert_close(log_odds(logits, labels), torch.tensor([200 - np.log(2), -200.0]).float())


@pytest.mark.parametrize("name", ["margin", "log_odds", "class_probability", "loss", "accuracy", "logits"])
def test_every_registered_output_has_the_axes_that_it_declares(name: str) -> None:
    output, sizes = OUTPUTS.get(name), {"targets": 4, "classes": 3}
    values = output(torch.randn(2, 4, 3), torch.tensor([0, 1, 2, 0]))
    assert values.shape == (2, *(sizes[axis] for axis in output.axes))
    assert set(output.needs) <= {"labels"}


def test_loss_and_accuracy_are_those_of_the_softmax() -> None:
    logits = torch.tensor([[[4.0, 1.0, 0.0], [0.0, 3.0, 3.0], [1.0, 2.0, 0.5]]])
    labels = torch.tensor([0, 1, 0])
    expected = torch.nn.functional.cross_entropy(logits[0], labels, reduction="none")
    torch.testing.assert_close(OUTPUTS.get("loss")(logits, labels)[0], expected, rtol=1e-5, atol=1e-6)
    assert OUTPUTS.get("accuracy")(logits, labels).tolist() == [[1, 0, 0]], "a tie counts as wrong"


@pytest.mark.parametrize("name", ["margin", "accuracy"])
def test_the_bound_of_an_output_says_whether_the_prediction_is_right(name: str) -> None:
    logits, labels = torch.randn(50, 6, 4), torch.randint(0, 4, (6,))
    output = OUTPUTS.get(name)
    assert output.right_above is not None
    right = output(logits, labels) > output.right_above
    assert 0.05 < right.float().mean() < 0.95
    assert torch.equal(right, logits.argmax(-1) == labels)


def test_an_unknown_output_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match="output: expected one of accuracy, class_probability"):
        OUTPUTS.get("logit")
