"""Intervals and tests over models and images: by hand, by known cases, and by simulated coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from modeldiff_core.errors import ConfigError, Diverged
from modeldiff_core.statistics import difference_test, holm, two_way_interval

MU = 0.2
RUNS = 400
MODELS, IMAGES = 20, 200
SMALLEST_P = 0.001
"""Each simulated check errs for about one seed in a thousand if the method is right."""

# Standard deviations of the models', the images' and the interaction's part.
REGIMES = {
    "models": (0.1, 0.0, 0.0),
    "models and interaction": (0.03, 0.0, 0.2),
    "images": (0.0, 0.2, 0.0),
    "images and interaction": (0.0, 0.1, 0.3),
    "interaction": (0.0, 0.0, 0.3),
    "all three": (0.03, 0.1, 0.3),
}


def draw(
    rng: np.random.Generator, deviations: tuple[float, float, float], models: int = MODELS, images: int = IMAGES
) -> np.ndarray:
    of_model, of_image, interaction = deviations
    return (
        of_model * rng.normal(size=(models, 1))
        + of_image * rng.normal(size=(1, images))
        + interaction * rng.normal(size=(models, images))
    )


def assert_share(covered: int, level: float) -> None:
    low, high = stats.binom(RUNS, level).ppf([SMALLEST_P / 2, 1 - SMALLEST_P / 2])
    assert low <= covered <= high, f"{covered} of {RUNS} at a level of {level}"


@pytest.mark.parametrize("regime", REGIMES)
def test_an_interval_holds_the_true_mean_as_often_as_it_says(regime: str) -> None:
    rng = np.random.default_rng(1)
    runs = [draw(rng, REGIMES[regime]) + MU for _ in range(RUNS)]
    for level in (0.8, 0.95):
        intervals = [two_way_interval(changes, level=level) for changes in runs]
        assert_share(sum(found.low <= MU <= found.high for found in intervals), level)


def test_an_interval_over_one_of_the_two_alone_would_fail_that_check() -> None:
    rng = np.random.default_rng(2)
    for regime, axis in (("models", 0), ("images", 1)):
        covered = 0
        for _ in range(RUNS):
            means = draw(rng, REGIMES[regime]).mean(axis=axis)
            covered += bool(abs(means.mean()) <= 1.96 * means.std(ddof=1) / np.sqrt(len(means)))
        with pytest.raises(AssertionError):
            assert_share(covered, 0.95)


@pytest.mark.parametrize("regime", REGIMES)
def test_p_is_uniform_and_the_interval_covers_where_nothing_differs(regime: str) -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(RUNS):
        shared = 0.3 * rng.normal(size=IMAGES) + MU
        a = draw(rng, REGIMES[regime]) + shared
        b = draw(rng, REGIMES[regime], models=12) + shared
        found.append(difference_test(a, b))
    assert stats.kstest([difference.p for difference in found], "uniform").pvalue > SMALLEST_P
    assert_share(sum(difference.low <= 0 <= difference.high for difference in found), 0.95)
    for difference in found:
        assert (difference.p >= 0.05) == (difference.low <= 0 <= difference.high)


def test_a_true_difference_is_found_and_covered() -> None:
    rng = np.random.default_rng(4)
    found = [
        difference_test(draw(rng, REGIMES["all three"]) + MU, draw(rng, REGIMES["all three"])) for _ in range(RUNS)
    ]
    assert_share(sum(difference.low <= MU <= difference.high for difference in found), 0.95)
    assert max(difference.p for difference in found) < 0.001


def test_an_interval_by_hand() -> None:
    """Means by model 1, 4; by image 1, 2.5, 4; residuals ±0.5, 0, ∓0.5, whose variance is 1/2."""
    changes = np.array([[0.0, 1.0, 2.0], [2.0, 4.0, 6.0]])
    by_model, by_image, rest = 4.5 / 2, 2.25 / 3, 0.5 / 6
    variance = by_model + by_image - rest
    freedom = variance**2 / (by_model**2 / 1 + by_image**2 / 2 + rest**2 / 2)
    half = stats.t.ppf(0.9 / 2 + 0.5, freedom) * np.sqrt(variance)
    found = two_way_interval(changes, level=0.9)
    assert 1 < freedom < 2
    assert found.mean == pytest.approx(2.5)
    assert found.standard_error == pytest.approx(np.sqrt(variance))
    assert (found.low, found.high) == pytest.approx((2.5 - half, 2.5 + half))


def test_with_interaction_alone_the_variance_is_half_its_part_by_hand() -> None:
    """No mean of a model or image varies; the residuals' variance is 4, over 4 values: 1 of the mean's variance."""
    found = two_way_interval(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert found.standard_error == pytest.approx(np.sqrt(0.5))
    assert found.high == pytest.approx(12.7062047 * np.sqrt(0.5))


@pytest.mark.parametrize(("models", "images"), [(7, 30), (30, 7)])
def test_with_one_source_of_variance_it_is_students_t(models: int, images: int) -> None:
    rng = np.random.default_rng(5)
    for deviations, axis in (((0.1, 0.0, 0.0), 1), ((0.0, 0.1, 0.0), 0)):
        a, b = draw(rng, deviations, models, images), draw(rng, deviations, models, images)
        one = stats.ttest_1samp(a.mean(axis=axis), 0).confidence_interval(0.95)
        found = two_way_interval(a)
        assert found.low < found.mean < found.high
        assert (found.low, found.high) == pytest.approx((one.low, one.high))
        means = a.mean(axis=axis), b.mean(axis=axis)
        two = stats.ttest_ind(*means, equal_var=False) if axis == 1 else stats.ttest_rel(*means)
        assert 0.001 < two.pvalue < 0.999
        assert difference_test(a, b).p == pytest.approx(two.pvalue)


@given(
    seed=st.integers(0, 1000),
    models=st.integers(2, 6),
    images=st.integers(2, 9),
    shift=st.floats(-1, 1),
    scale=st.floats(0.01, 10),
)
def test_shifts_scales_and_swaps(seed: int, models: int, images: int, shift: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, models, images))
    found, moved = two_way_interval(a), two_way_interval(scale * a + shift)
    assert found.low < found.mean < found.high
    for name in ("mean", "low", "high"):
        assert getattr(moved, name) == pytest.approx(scale * getattr(found, name) + shift, abs=1e-9)
    there, back = difference_test(a, b), difference_test(b, a)
    assert (back.mean, back.low, back.high, back.p) == pytest.approx(
        (-there.mean, -there.high, -there.low, there.p), abs=1e-9
    )
    assert there.mean == pytest.approx(a.mean() - b.mean())
    assert 0 <= there.p <= 1


@pytest.mark.parametrize("value", [0.0, 0.1, -1 / 3])
def test_equal_changes_have_an_interval_of_width_0(value: float) -> None:
    same = np.full((7, 11), value)
    found = two_way_interval(same)
    assert (found.mean, found.low, found.high, found.standard_error) == (value, value, value, 0)
    assert difference_test(same, same).p == 1
    differs = difference_test(same, np.full((3, 11), value + 0.5))
    assert (differs.low, differs.high, differs.p) == (differs.mean, differs.mean, 0)
    assert differs.mean == pytest.approx(-0.5)


def test_tiny_changes_of_saturated_models_do_not_underflow() -> None:
    changes = draw(np.random.default_rng(6), REGIMES["all three"], 5, 9) + MU
    usual, tiny = two_way_interval(changes), two_way_interval(changes * 1e-100)
    assert (tiny.low * 1e100, tiny.high * 1e100) == pytest.approx((usual.low, usual.high))


def test_input_that_allows_no_interval_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2 models"):
        two_way_interval(np.zeros((1, 5)))
    with pytest.raises(ConfigError, match="at least 2 images"):
        two_way_interval(np.zeros((5, 1)))
    wrong = np.zeros((4, 5))
    wrong[2, 3] = np.nan
    with pytest.raises(Diverged, match="model 2"):
        two_way_interval(wrong)


def test_holm_by_hand() -> None:
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; the last is raised to 0.06."""
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.6, 0.02, 0.5])), [1.0, 0.06, 1.0])
    np.testing.assert_allclose(holm(np.array([0.3])), [0.3])
    assert holm(np.array([])).shape == (0,)


def test_pairs_that_share_their_seeds_are_compared_as_pairs() -> None:
    """What a seed does to both cancels: the interval of independent models is wider than it needs to be."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(RUNS):
        seeds = 0.1 * rng.normal(size=(MODELS, 1)) + 0.1 * rng.normal(size=(MODELS, 60))
        a, b = (seeds + draw(rng, (0.005, 0.0, 0.01), images=60) for _ in range(2))
        found.append((difference_test(a, b), difference_test(a, b, models="paired")))
    widths = [apart.high - apart.low for apart, _ in found], [pair.high - pair.low for _, pair in found]
    assert np.median(widths[0]) > 6 * np.median(widths[1])
    assert_share(sum(pair.low <= 0 <= pair.high for _, pair in found), 0.95)
    assert stats.kstest([pair.p for _, pair in found], "uniform").pvalue > SMALLEST_P
    assert all(apart.mean == pytest.approx(pair.mean) for apart, pair in found)


@pytest.mark.parametrize("regime", REGIMES)
def test_pairs_that_share_nothing_err_no_more(regime: str) -> None:
    rng = np.random.default_rng(8)
    found = [difference_test(*(draw(rng, REGIMES[regime]) for _ in "ab"), models="paired") for _ in range(RUNS)]
    assert sum(pair.p <= 0.05 for pair in found) <= stats.binom(RUNS, 0.05).ppf(1 - SMALLEST_P)


@pytest.mark.parametrize(("models", "way"), [(2, "independent"), (3, "independent"), (2, "paired"), (4, "paired")])
def test_few_models_find_nothing_in_many_tests_of_no_difference(models: int, way: str) -> None:
    """Satterthwaite's degrees of freedom alone let one of 12 tests win in up to 20 % of families."""
    rng = np.random.default_rng(9)
    alarms = 0
    for _ in range(60):
        ps = []
        for _ in range(12):
            a, b = (draw(rng, (0.05, 0.1, 0.05), models, 40) for _ in range(2))
            ps.append(difference_test(a, b, models=way).p)
        alarms += bool(holm(np.array(ps)).min() <= 0.05)
    assert alarms <= 8


def test_few_models_that_hardly_vary_find_a_difference() -> None:
    rng = np.random.default_rng(10)
    a, b = (draw(rng, (1e-6, 0.05, 1e-6), 2, 100) for _ in range(2))
    found = difference_test(a + 0.3, b)
    assert found.p < 1e-3
    assert found.low < found.mean < found.high
    level = difference_test(a + 0.3, b, level=1 - found.p)
    assert level.low == pytest.approx(0, abs=1e-6)


def test_pairs_of_different_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="as many models of B as of A"):
        difference_test(np.zeros((3, 4)), np.zeros((2, 4)), models="paired")
