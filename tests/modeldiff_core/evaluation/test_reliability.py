"""The ceiling of a score is what the seeds of held-out models allow, and scores are told as shares of it."""

import numpy as np
import pytest

from modeldiff_core.evaluation.reliability import bank_of, reliability

MASKS, SEEDS, TARGETS = 200, 5, 60


def bank(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What masks do to margins, and models of several seeds that add noise of this standard deviation."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((MASKS, TARGETS))
    return truth, truth[:, None] + noise * rng.standard_normal((MASKS, SEEDS, TARGETS))


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_ceilings_are_those_of_the_best_prediction(noise: float) -> None:
    truth, models = bank(noise)
    found = reliability(truth, models)
    assert found is not None
    r = 1 / (1 + noise**2)
    assert found.ceiling_one.value == pytest.approx(r**0.5, abs=0.02)
    assert found.ceiling_mean.value == pytest.approx((SEEDS * r / (1 + (SEEDS - 1) * r)) ** 0.5, abs=0.02)
    # Rank correlations of normal values are a little below plain ones.
    assert found.one.value == pytest.approx(found.ceiling_one.value, abs=0.03)
    assert found.share is not None
    assert 0.95 < found.share.value < 1.02
    assert found.one.value < found.mean.value
    assert found.seeds == SEEDS


def test_a_poor_prediction_has_a_small_share_and_intervals_hold_the_truth() -> None:
    inside = 0
    for seed in range(20):
        truth, models = bank(1.0, seed)
        predicted = truth + 2 * np.random.default_rng(100 + seed).standard_normal(truth.shape)
        found = reliability(predicted, models)
        assert found is not None
        assert found.share is not None
        assert 0.3 < found.share.value < 0.6
        inside += found.ceiling_one.low <= 0.5**0.5 <= found.ceiling_one.high
    assert inside >= 16


def test_one_seed_tells_no_ceiling() -> None:
    truth, models = bank(1.0)
    assert reliability(truth, models[:, :1]) is None
    assert reliability(truth[:2], models[:2]) is None


def test_seeds_that_do_not_agree_tell_no_share() -> None:
    draws = np.random.default_rng(0).standard_normal((40, SEEDS, 30))
    found = reliability(draws[:, 0], draws - draws.mean(1, keepdims=True))  # r < 0
    assert found is not None
    assert found.share is None
    assert found.ceiling_one.value == 0


def test_masks_that_lack_a_model_are_left_out() -> None:
    values = np.arange(12.0).reshape(6, 2)
    groups, valid = np.array([0, 0, 1, 1, 2, 2]), np.array([True, True, True, False, True, True])
    found, first = bank_of(values, groups, valid)
    assert found.shape == (2, 2, 2)
    np.testing.assert_array_equal(found[1], values[4:])
    np.testing.assert_array_equal(first, [0, 4])
