"""Derivatives against whole trainings at steps that matter: a number, and a warning where it is low."""

from dataclasses import replace

import numpy as np
import pytest

from modeldiff_core.data import Examples
from modeldiff_core.metagradients import Calculus, Point, Trajectory, forward_products, process_of
from modeldiff_core.metagradients.smoothness import SMOOTH, agreement, changes_of_weights, tail, whole_differences
from modeldiff_core.stages.smoothness import smoothness_sentences
from modeldiff_core.training import Execution, Task
from tests.modeldiff_core.metagradients.cases import CLASSES, MLP, TRAIN, examples


def measured(train: Examples, rate: float, size: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    task = Task(replace(MLP, learning_rate=rate), 5, train, examples(60, 1), CLASSES)
    process = process_of(task, Point.everywhere(TRAIN, 0.5), 0, Execution(), Calculus(precision="float64"))
    changes = size * changes_of_weights(process.weights.numpy(), (0.1, 0.3), 0)
    forward = forward_products(Trajectory(process), changes)
    return forward.numpy(), whole_differences(process, changes).numpy()


def test_small_steps_agree_and_chaotic_training_does_not(train: Examples) -> None:
    forward, differences = measured(train, 0.1, size=1e-4)
    assert np.linalg.norm(forward) > 0
    np.testing.assert_allclose(forward, differences, rtol=1e-4, atol=1e-9)
    smooth, chaotic = (agreement(*measured(train, rate)) for rate in (0.3, 1.0))
    assert smooth.min() > SMOOTH > chaotic.min()


def test_changes_take_or_double_the_weight_of_a_share_of_the_examples() -> None:
    weights = np.full(200, 0.5)
    few, many = changes_of_weights(weights, (0.01, 0.1), 3).numpy()
    assert [np.count_nonzero(few), np.count_nonzero(many)] == [2, 20]
    assert set(np.unique(many)) == {-0.5, 0.0, 0.5}
    np.testing.assert_array_equal(changes_of_weights(weights, (0.01, 0.1), 3)[1], many)
    assert (changes_of_weights(weights, (0.01, 0.1), 4)[1].numpy() != many).any()


def test_agreement_is_a_correlation_and_a_tail_is_told_from_none() -> None:
    draws = np.random.default_rng(0).standard_normal((2, 4000))
    assert agreement(draws, 3 * draws + 1) == pytest.approx([1, 1])
    assert agreement(draws, -draws) == pytest.approx([-1, -1])
    assert agreement(draws, np.ones_like(draws)) == pytest.approx([0, 0])
    assert tail(draws) == pytest.approx(3.8, abs=0.4)
    assert tail(draws**5) > 30


def test_a_low_number_is_a_warning_that_names_remedies() -> None:
    names, repeated = {"a": "one", "b": "other"}, {"a": 0.9, "b": None}
    good, bad = {"few": 0.93, "many": 0.91}, {"few": 0.93, "many": 0.12}
    fine = smoothness_sentences(names, {"a": good, "b": good}, repeated)
    assert "one 0.93 and 0.91" in fine[0]
    assert "have in common: one 0.90." in fine[1]
    assert len(fine) == 2
    warned = smoothness_sentences(names, {"a": good, "b": bad}, repeated)
    assert "Not smooth enough: derivatives of other " in warned[-1]
    assert "learning_rate" in warned[-1]
