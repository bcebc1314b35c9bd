"""Margins against a plain loop over models and targets."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.margins import correct_class_margin


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
