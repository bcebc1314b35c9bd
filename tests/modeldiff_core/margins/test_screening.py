"""Models that stand out are found whatever the scale, and hardly any among models that do not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeldiff_core.margins.distinct import Distinct
from modeldiff_core.margins.screening import SAMPLE, Measures, Screening, Usual, sample_of, screen, screened

MODELS, TARGETS = 200, 50


def normal(seed: int = 0, level: float = 1.0) -> np.ndarray:
    """Margins with a level for each target and noise for each model, of accuracy near 0.75."""
    rng = np.random.default_rng(seed)
    return (level + rng.normal(0, 1, TARGETS) + rng.normal(0, 1, (MODELS, TARGETS))).astype(np.float32)


def everyone(margins: np.ndarray) -> np.ndarray:
    return np.ones(len(margins), dtype=bool)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), level=st.floats(0, 20), scale=st.floats(1e-6, 1e6))
def test_ordinary_models_are_neither_left_out_nor_named(seed: int, level: float, scale: float) -> None:
    margins = normal(seed, level) * np.float32(scale)
    found = screen(margins, everyone(margins))
    assert not found.wild.any()
    assert not found.strange.any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), level=st.floats(0, 20), factor=st.sampled_from([30.0, -30.0, 1e3, 1e6, 1e20]))
def test_a_model_of_large_margins_cannot_be_one(seed: int, level: float, factor: float) -> None:
    margins = normal(seed, level)
    margins[7] *= np.float32(factor)
    found = screen(margins, everyone(margins))
    assert np.flatnonzero(found.wild).tolist() == [7]
    assert found.left_out(Screening())[7]
    assert not found.left_out(Screening(wild="name")).any()


def test_zeros_cannot_be_a_model_and_one_at_chance_is_named() -> None:
    margins = normal(level=3)
    margins[3], margins[4] = 0, np.random.default_rng(1).normal(0, 1, TARGETS)
    found = screen(margins, everyone(margins), classes=2)
    assert np.flatnonzero(found.wild).tolist() == [3]
    assert np.flatnonzero(found.strange).tolist() == [4]
    assert np.flatnonzero(found.left_out(Screening(strange="leave_out"))).tolist() == [3, 4]


def test_many_models_at_chance_are_named() -> None:
    margins = normal(level=3)
    margins[:60] = np.random.default_rng(1).normal(-1, 1, (60, TARGETS))
    found = screen(margins, everyone(margins), classes=10)
    assert np.flatnonzero(found.strange).tolist() == list(range(60))


def test_shares_of_right_predictions_are_judged_by_their_accuracy_alone() -> None:
    rng = np.random.default_rng(0)
    right = (rng.random((MODELS, TARGETS)) < 0.98).astype(np.float32)
    right[5] = rng.random(TARGETS) < 0.3
    found = screen(right, everyone(right), right_above=0.5)
    assert not found.wild.any()
    assert np.flatnonzero(found.strange).tolist() == [5]


def test_probabilities_far_from_zero_leave_nobody_out() -> None:
    rng = np.random.default_rng(0)
    probabilities = 1 - rng.random((MODELS, TARGETS)).astype(np.float32) * 0.01
    probabilities[5] = 0.1
    found = screen(probabilities, everyone(probabilities), right_above=None)
    assert not found.wild.any()
    assert np.flatnonzero(found.strange).tolist() == [5]


def test_what_is_not_taken_decides_nothing() -> None:
    margins = normal()
    taken = everyone(margins)
    taken[:90] = False
    with_them = margins.copy()
    with_them[:90] = 1e30
    one, other = screen(margins, taken), screen(with_them, taken)
    np.testing.assert_array_equal(one.reach[90:], other.reach[90:])
    assert not other.wild.any()


@pytest.mark.parametrize("few", [0, 3])
def test_fewer_than_four_models_are_not_judged(few: int) -> None:
    margins = normal()
    taken = np.arange(MODELS) < few
    assert not screen(margins, taken).wild.any()


def test_measures_in_parts_are_those_of_all() -> None:
    margins = normal()
    usual = Usual.of(margins)
    parts = [Measures.of(margins[at : at + 7], usual) for at in range(0, MODELS, 7)]
    whole = screened(Measures.of(margins, usual), usual, everyone(margins))
    np.testing.assert_array_equal(screened(Measures.joined(parts), usual, everyone(margins)).size, whole.size)


def test_a_sample_is_spread_over_all() -> None:
    assert sample_of(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    chosen = sample_of(np.arange(10 * SAMPLE))
    assert (len(chosen), chosen[0], chosen[-1]) == (SAMPLE, 0, 10 * SAMPLE - 1)


def test_few_values_and_values_at_a_clip_are_noticed() -> None:
    margins = normal()
    assert Distinct.of(margins) is None
    clipped = Distinct.of(np.clip(margins, -1.5, 1.5))
    assert clipped is not None
    assert (clipped.most, clipped.values > 100) == (1.5, True)
    assert clipped.share == pytest.approx((np.abs(margins) >= 1.5).mean())
    rounded = Distinct.of(np.sign(margins))
    assert rounded is not None
    assert rounded.values == 2
