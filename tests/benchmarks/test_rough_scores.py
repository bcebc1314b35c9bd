"""Differences of two scores and what is kept of a rate between runs."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.rough_scores import Bank, difference


def test_a_difference_has_an_interval_for_new_masks_and_targets() -> None:
    draws = np.random.default_rng(0)
    truth = draws.standard_normal((60, 40))
    near, far = (truth + noise * draws.standard_normal(truth.shape) for noise in (0.5, 2.0))
    found = difference(near, far, truth)
    assert 0 < found.low < found.value < found.high < 1
    turned = difference(far, near, truth)
    assert turned.value == pytest.approx(-found.value)
    none = difference(near, near, truth)
    assert (none.value, none.low, none.high) == (0, 0, 0)


def test_equal_predictions_with_other_noise_do_not_differ() -> None:
    draws = np.random.default_rng(1)
    truth = draws.standard_normal((60, 40))
    a, b = (truth + draws.standard_normal(truth.shape) for _ in range(2))
    found = difference(a, b, truth)
    assert found.low < 0 < found.high


def test_what_was_made_is_not_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bank, calls = Bank(0.1, tmp_path), []

    def make() -> np.ndarray:
        calls.append(0)
        return np.arange(3)

    first, second = (bank._kept("numbers", make) for _ in range(2))
    assert len(calls) == 1
    assert first[0].tolist() == second[0].tolist() == [0, 1, 2]
    assert first[1] == second[1] >= 0
    assert "0.1-numbers.npz" in capsys.readouterr().out
