"""Sizes of differences: no noise in expectation, intervals that cover, quotients, the verdict and groups."""

from dataclasses import replace

import numpy as np
import pytest

from modeldiff_core.comparison.contrast import Fits, contrast_of, find_contrast, sample_of
from modeldiff_core.comparison.effect_sizes import (
    Drawn,
    EffectSizes,
    Estimate,
    effect_sizes,
    fieller,
    more_under_a,
    pair_sums,
    without_twice,
)
from modeldiff_core.comparison.grouping import Traits, common, grouped
from modeldiff_core.comparison.slopes import slope_angles
from modeldiff_core.comparison.verdict import models_needed, verdict
from tests.modeldiff_core.comparison.planted_margins import Planted, planted


def sizes_of(made: Planted, components: int = 3, named: int = 0) -> EffectSizes:
    sample = sample_of(made.masks, made.margins)
    fits = sample.fits()
    contrast = contrast_of(sample, fits)
    return effect_sizes(sample, fits, contrast, find_contrast(contrast, fits, components)).naming(named)


def test_pair_sums_have_no_noise_and_their_variance() -> None:
    rng = np.random.default_rng(0)
    u, mean = rng.normal(size=(1, 60)) / 60, rng.normal(size=12) / 3
    truth = float(np.square(u.sum() * mean).sum())
    values, variances = [], []
    for _ in range(600):
        noise = rng.normal(size=(60, 12)).astype(np.float32)
        z = (noise + mean).astype(np.float32)
        value, influence, twice = pair_sums(Drawn(u, z, noise, u))
        values.append(value[0])
        variances.append(np.square(influence[0]).sum() - twice[0])
    assert truth > 0
    assert np.mean(values) == pytest.approx(truth, abs=3 * np.std(values) / np.sqrt(600))
    assert np.mean(variances) == pytest.approx(np.var(values), rel=0.15)


@pytest.mark.parametrize("paired", [True, False])
def test_sizes_are_near_zero_where_nothing_differs(paired: bool) -> None:
    found = [sizes_of(planted(seed, noise_b=1.5, spread=0.2, paired=paired)) for seed in range(16)]
    for seed, sizes in enumerate(found):
        assert sizes.contrast.max() < 0.1, seed
    totals = [sizes.all_that_differs() for sizes in found]
    assert sum(total.low <= 0 <= total.high for total in totals) >= 13
    assert np.mean([sizes.total for sizes in found]) == pytest.approx(0, abs=0.05)
    assert np.mean([sizes.under_a[0] - sizes.under_b[0] for sizes in found]) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("in_b", [False, True])
def test_a_planted_difference_has_a_side_a_size_and_a_share(in_b: bool) -> None:
    made = planted(0, 0.4, in_b=in_b, shape=(600, 60, 40))
    sizes, true = sizes_of(made, named=1), truth_of(made, 3)
    under = sizes.under("a", 0), sizes.under("b", 0)
    more, less = reversed(under) if in_b else under
    sample = sample_of(made.masks, made.margins)
    fits, contrast = sample.fits(), contrast_of(sample, sample.fits())
    assert more_under_a(fits, contrast, find_contrast(contrast, fits, 1))[0] == (not in_b)
    assert more.low > 1.7 * less.high
    difference, total = sizes.difference(0), sizes.all_that_differs()
    assert 0 < difference.low < difference.value < difference.high
    assert total.low > 0
    share = sizes.share([0])
    assert share is not None
    assert share.low > 0.5
    assert share.high < 1.4
    ratio = sizes.ratio(0)
    assert ratio is not None
    larger, smaller = (true[2], true[1]) if in_b else (true[1], true[2])
    assert 1.9 < ratio.low < larger / smaller
    assert sizes.stability[0] > 0.7


def truth_of(made: Planted, components: int) -> tuple[float, float, float]:
    """Return what margins without noise have along the first direction, at slopes without noise: R, A and B."""
    sample = sample_of(made.masks, made.margins)
    fits = sample.fits()
    contrast = contrast_of(sample, fits)
    sizes = effect_sizes(sample, fits, contrast, find_contrast(contrast, fits, components))
    clean = []
    for operator, y, unit in zip(sample.halves, made.expected, sample.units, strict=True):
        clean.append(tuple(operator.fit(half, ((y - y.mean(0)) / unit)[operator.rows[half]]) for half in (0, 1)))
    nothing = np.zeros(len(clean[0][0]))
    exact = Fits(clean[0], clean[1], lambda half, outside, clear: (nothing, nothing, nothing))
    found = np.zeros(3)
    for half, directions in enumerate(sizes.versions):
        angles = slope_angles(*exact.products(1 - half, directions.T))
        a = (contrast.weights * np.cos(angles))[:, None] * exact.a[1 - half]
        b = (contrast.weights * np.sin(angles))[:, None] * exact.b[1 - half]
        a, b = a - a.mean(0), b - b.mean(0)
        found += [float(np.square(rows @ directions[0]).sum()) / 2 for rows in (a - b, a, b)]
    of_contrast, of_a, of_b = found / sizes.unit
    return float(of_contrast), float(of_a), float(of_b)


def test_intervals_cover_what_the_directions_hold_without_noise() -> None:
    covered, values = [], []
    for seed in range(40):
        made = planted(seed, 0.4, noise_b=1.5, shape=(300, 30, 20))
        sizes, true = sizes_of(made, 1), truth_of(made, 1)
        told = sizes.difference(0), sizes.under("a", 0), sizes.under("b", 0)
        covered.append([one.low <= value <= one.high for one, value in zip(told, true, strict=True)])
        values.append([(one.value, value) for one, value in zip(told, true, strict=True)])
    assert (np.mean(covered, 0) >= 0.85).all()  # 34 of 40; of intervals that cover 95 % fewer have probability .004
    estimate, true_mean = np.mean(values, 0).T
    assert (true_mean > 0.01).all()
    np.testing.assert_allclose(estimate, true_mean, rtol=0.1)


@pytest.mark.parametrize("size", [1e160, np.inf, np.nan])
def test_of_sizes_beyond_all_numbers_nothing_is_said(size: float) -> None:
    """As where margins of B depend on no training example: its slopes, and the sizes at them, have no bounds."""
    with np.errstate(all="raise"):
        assert fieller(1.0, size, (0.01, 0.0, 0.01), 0.95) is None
        assert fieller(size, 1.0, (size, 0.0, 0.01), 0.95, unbounded=True) is None
        assert fieller(1.0, 1.0, (0.01, size, 0.01), 0.95, unbounded=True) is None


def test_the_part_that_is_there_though_nothing_differs_counts_once() -> None:
    influence = np.array([3.0, 4.0])
    assert without_twice(influence, 5.0) == 20
    assert without_twice(influence, 20.0) == 20
    assert without_twice(influence, 0.0) == 25


def test_the_interval_of_a_square_holds_what_its_variance_there_allows() -> None:
    value, influence, twice = 2.0, np.array([0.6, 0.8]), 0.25
    found = Estimate.of_square(value, influence, twice, 0.95)
    for end in (found.low, found.high):
        at_end = twice + 0.5 + 0.5 / 2.5 * (end - value)
        assert (value - end) ** 2 == pytest.approx(1.959964**2 * at_end, rel=1e-5)
    assert found.high - value > value - found.low > 0
    below = Estimate.of_square(-0.5, influence, twice, 0.95)
    assert below.high - below.value == pytest.approx(below.value - below.low)
    nothing = Estimate.of_square(0.0, 0 * influence, 0.0, 0.95)
    assert (nothing.low, nothing.high) == (0, 0)


def test_fieller_is_the_quotient_with_its_ends() -> None:
    found = fieller(2.0, 1.0, (0.01, 0.0, 0.0025), 0.95)
    assert found is not None
    assert found.value == 2
    for end in (found.low, found.high):
        assert (2 - end) ** 2 == pytest.approx(1.96**2 * (0.01 + end**2 * 0.0025), rel=1e-3)
    assert fieller(2.0, 0.1, (0.01, 0.0, 0.01), 0.95) is None
    wide = fieller(2.0, 0.1, (0.01, 0.0, 0.01), 0.95, unbounded=True)
    assert wide is not None
    assert wide.high == np.inf
    assert 2 < wide.low < 20
    assert fieller(0.1, 0.1, (0.01, 0.0, 0.01), 0.95, unbounded=True) is None


def test_the_verdict_says_what_is_shown() -> None:
    nothing = sizes_of(planted(1, shape=(600, 40, 30)))
    much = sizes_of(planted(2, 0.5, shape=(600, 40, 30)), named=1)
    assert verdict(nothing, [], 600, 0.5).answer == "equivalent"
    assert verdict(nothing, [], 600, 0.0).answer == "undecided"
    undecided = verdict(nothing, [], 600, 0.001)
    assert undecided.answer == "undecided"
    assert verdict(much, [0], 600, 0.0).answer == "different"
    assert verdict(much, [0], 600, 0.02).answer == "different"
    assert verdict(much, [], 600, 0.02).answer == "undecided"
    assert verdict(much, [0], 600, 1.9).answer == "equivalent"
    near = verdict(much, [0], 600, much.total * 1.02)
    assert near.answer == "undecided"
    assert near.models is None or near.models > 600
    some = verdict(much, [0], 600, much.total * 0.8)
    assert some.answer == "different" or (some.models or 0) > 600


def test_models_needed_are_told_only_where_the_effect_is_above_zero() -> None:
    null = np.linspace(0, 0.1, 99)
    assert models_needed(Estimate(0.01, -0.01, 0.03), null, 1000, 0.05) is None
    found = models_needed(Estimate(0.05, 0.04, 0.06), null, 1000, 0.05)
    assert found is not None
    assert found[1] is not None
    assert 1000 < found[0] < found[1]
    assert models_needed(Estimate(0.5, 0.4, 0.6), null, 1000, 0.05) == (1000, 1000)
    assert models_needed(Estimate(0.05, 0.04, 0.06), null[:0], 1000, 0.05) is None


def test_directions_that_share_images_examples_or_a_transformation_are_one_difference() -> None:
    def traits(side: str, targets: range, train: range, *moved_by: str) -> Traits:
        return Traits(side, frozenset(targets), frozenset(train), frozenset(moved_by))

    first, other = traits("a-b", range(10), range(20)), traits("a-b", range(50, 60), range(60, 80))
    assert grouped([first, other]) == [[0], [1]]
    assert grouped([first, traits("a-b", range(5, 15), range(60, 80))]) == [[0, 1]]
    assert grouped([first, traits("b-a", range(10), range(20))]) == [[0], [1]]
    chain = traits("a-b", range(90, 95), range(200, 210), "patch")
    assert grouped([first, other, chain, traits("a-b", range(5), range(60, 70), "patch")]) == [[0, 1, 2, 3]]
    assert grouped([chain, traits("b-a", range(300, 310), range(9, 12), "patch")]) == [[0, 1]]
    assert common(frozenset(), frozenset({1})) == 0


def test_what_lists_share_by_chance_counts_nothing() -> None:
    rng = np.random.default_rng(0)
    pairs = [[frozenset(rng.permutation(60)[:24].tolist()) for _ in "xy"] for _ in range(200)]
    assert np.mean([common(one, other) for one, other in pairs]) == pytest.approx(0.4, abs=0.03)
    assert np.mean([common(one, other, 60) for one, other in pairs]) < 0.1
    same = frozenset(range(24))
    assert common(same, same, 60) == 1
    first, second = (Traits("a-b", frozenset(range(n, n + 24)), frozenset(), among=(60, 0)) for n in (0, 11))
    assert grouped([first, second]) == [[0], [1]]
    assert grouped([replace(first, among=(0, 0)), replace(second, among=(0, 0))]) == [[0, 1]]
