"""Replicates are split, drawn and exchanged as wholes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.statistics.replicates import MOST_PATTERNS, Replicates, equal_masks


def test_equal_masks_share_a_number_in_order_of_appearance() -> None:
    distinct = np.random.default_rng(0).random((3, 21)) < 0.5
    assert len(np.unique(distinct, axis=0)) == 3
    assert equal_masks(distinct[[2, 0, 2, 1, 0]]).tolist() == [0, 1, 0, 2, 1]
    assert equal_masks(distinct).tolist() == [0, 1, 2]
    assert equal_masks(np.zeros((2, 0), bool)).tolist() == [0, 0]


def test_masks_that_differ_in_their_last_unit_alone_are_not_equal() -> None:
    masks = np.zeros((2, 9), bool)
    masks[1, 8] = True
    assert equal_masks(masks).tolist() == [0, 1]


def test_repeated_rows_are_those_of_equal_masks() -> None:
    masks = np.repeat(np.eye(4, dtype=bool), 3, axis=0)
    np.testing.assert_array_equal(Replicates.of_masks(masks).groups, Replicates.repeated(12, 3).groups)


def test_a_replicate_belongs_to_the_first_rows_as_a_whole() -> None:
    replicates = Replicates(np.array([0, 1, 1, 2, 0]))
    assert replicates.begun_before(2).tolist() == [True, True, True, False, True]
    assert Replicates.single(5).begun_before(2).tolist() == [True, True, False, False, False]
    assert not replicates.begun_before(0).any()


def test_some_rows_keep_their_replicates() -> None:
    replicates = Replicates.repeated(6, 2).select(np.array([True, False, False, False, True, True]))
    assert len(replicates) == 2
    assert replicates.half(0).tolist() == [True, False, False]


@given(groups=st.lists(st.integers(0, 5), min_size=2, max_size=30), seed=st.integers(0, 99))
def test_no_replicate_is_ever_split(groups: list[int], seed: int) -> None:
    replicates, random = Replicates(np.array(groups)), np.random.default_rng(seed)
    drawn = [replicates.half(0), replicates.exchange(random), *replicates.bootstrap(2, random)]
    drawn += list(replicates.signs(5, random))
    for values in drawn:
        for group in set(groups):
            assert len({values[row] for row, own in enumerate(groups) if own == group}) == 1
    np.testing.assert_array_equal(replicates.half(0), ~replicates.half(1))


def test_halves_of_single_rows_are_even_and_odd() -> None:
    np.testing.assert_array_equal(Replicates.single(7).half(1), np.arange(7) % 2 == 1)


@pytest.mark.parametrize("count", [2, 5, MOST_PATTERNS])
def test_every_pattern_is_taken_once_up_to_the_other_sign(count: int) -> None:
    patterns = Replicates.single(count).signs(3, np.random.default_rng(0))
    assert patterns.shape == (2 ** (count - 1), count)
    assert (patterns[0] == 1).all()
    assert len({tuple(row) for row in np.vstack([patterns, -patterns])}) == 2**count


def test_many_replicates_take_random_patterns() -> None:
    patterns = Replicates.single(20).signs(300, np.random.default_rng(0))
    assert patterns.shape == (300, 20)
    assert (patterns[0] == 1).all()
    assert abs(patterns[1:].mean()) < 0.05


def test_bootstrap_weights_count_draws_of_replicates() -> None:
    replicates = Replicates(np.array([3, 3, 8, 8, 8, 9]))
    weights = replicates.bootstrap(4000, np.random.default_rng(0))
    assert (weights[:, [0, 2, 5]].sum(1) == 3).all(), "as many replicates as there are"
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.08)
