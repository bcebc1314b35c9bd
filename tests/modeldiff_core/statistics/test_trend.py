"""Jonckheere's test against a published example, counting, every arrangement, and Mann and Whitney's two groups."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import linregress, mannwhitneyu

from modeldiff_core.errors import DataError
from modeldiff_core.statistics import trend


def counted(groups: list[np.ndarray]) -> float:
    """J pair by pair, as its definition says."""
    total = 0.0
    for at, earlier in enumerate(groups):
        for later in groups[at + 1 :]:
            total += sum(float(y > x) + 0.5 * float(y == x) for x in earlier for y in later)
    return total


def test_the_textbooks_example() -> None:
    """Hollander and Wolfe, example 6.2 (what workers were told of their output): J = 79, and z = 2.02 without ties."""
    control, rough, accurate = [40, 35, 38, 43, 44, 41], [38, 40, 47, 44, 40, 42], [48, 40, 45, 43, 46, 44]
    found = trend([np.array(group, float) for group in (control, rough, accurate)])
    assert found.statistic == 79
    assert found.share == 79 / 108
    assert 2.02 < found.z < 2.06, "ties make the variance smaller"


@pytest.mark.parametrize("values", [[0.3, 1.2, 0.7, 2.5, 1.9, 3.1, 0.1], [1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 0.0]])
def test_mean_and_variance_are_those_of_every_arrangement(values: list[float]) -> None:
    """z is (J − its mean)/its deviation over all arrangements of the values to three groups, with and without ties."""
    sizes = (2, 3, 2)
    every = []
    for order in permutations(values):
        x = np.array(order)
        every.append(counted([x[:2], x[2:5], x[5:]]))
    x = np.array(values)
    groups = [x[:2], x[2:5], x[5:]]
    assert [len(group) for group in groups] == list(sizes)
    found = trend(groups)
    assert found.statistic == counted(groups)
    assert np.std(every) > 1
    assert found.z == pytest.approx((counted(groups) - np.mean(every)) / np.std(every))


def test_two_groups_are_mann_and_whitneys() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=15).round(1), (rng.normal(size=22) + 0.6).round(1)
    found = trend([first, second])
    expected = mannwhitneyu(second, first, method="asymptotic", use_continuity=False)
    assert 0.001 < expected.pvalue < 0.5
    assert found.statistic == expected.statistic
    assert found.p == pytest.approx(expected.pvalue)


def test_a_trend_is_found_and_its_slope_lies_in_the_interval() -> None:
    rng = np.random.default_rng(1)
    groups = [rng.normal(0.5 * level, 1 + level, size=40) for level in range(3)]
    found = trend(groups, levels=[0.0, 1.0, 2.0])
    flat = linregress(np.repeat([0.0, 1.0, 2.0], 40), np.concatenate(groups))
    assert found.p < 0.01
    assert found.slope == pytest.approx(flat.slope)
    assert found.low < 0.5 < found.high
    assert trend(groups[::-1]).z == pytest.approx(-found.z)


def test_p_is_uniform_without_a_trend_and_intervals_cover() -> None:
    rng = np.random.default_rng(2)
    drawn = [trend(list(rng.standard_t(3, size=(3, 20)))) for _ in range(400)]
    assert 5 <= sum(one.p <= 0.05 for one in drawn) <= 35, "20 expected; binomial, both tails .001"
    assert sum(one.low <= 0 <= one.high for one in drawn) >= 365


def test_equal_values_are_no_trend() -> None:
    found = trend([np.ones(3), np.ones(4)])
    assert (found.share, found.z, found.p, found.slope) == (0.5, 0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("groups", "levels", "said"),
    [
        ([np.ones(3)], None, "two groups"),
        ([np.ones(3), np.ones(1)], None, r"\[3, 1\]"),
        ([np.ones(3), np.array([1.0, np.nan])], None, "finite"),
        ([np.ones(3), np.ones(3)], [1.0, 1.0], "levels that rise"),
        ([np.ones(3), np.ones(3)], [1.0], "2 groups"),
    ],
)
def test_what_cannot_be_tested_is_refused(groups: list[np.ndarray], levels: list[float] | None, said: str) -> None:
    with pytest.raises(DataError, match=said):
        trend(groups, levels)
