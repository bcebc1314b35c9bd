"""How many parts carry a whole, by hand and for known distributions."""

import numpy as np
import pytest

from modeldiff_core.statistics import participation, unseen_share


@pytest.mark.parametrize("count", [1, 3, 50])
def test_equal_parts_are_counted(count: int) -> None:
    values = np.zeros(100)
    values[:count] = -0.3
    assert participation(values) == pytest.approx(count)
    assert participation(values * 1e-200) == pytest.approx(count)


def test_normal_parts_count_for_a_third_and_nothing_for_none() -> None:
    assert participation(np.random.default_rng(0).normal(size=30_000)) == pytest.approx(10_000, rel=0.05)
    assert participation(np.zeros(5)) == 0
    assert participation(np.zeros(0)) == 0
    one = np.random.default_rng(1).normal(size=500)
    one[7] = 100
    assert participation(one) < 1.2


def test_a_group_that_none_of_the_images_belongs_to() -> None:
    """Of 40 images none belongs to a group of 7.2 % in one of twenty draws."""
    assert unseen_share(40) == pytest.approx(0.0722, abs=1e-3)
    assert (1 - unseen_share(40)) ** 40 == pytest.approx(0.05)
    assert unseen_share(500) < 0.006
