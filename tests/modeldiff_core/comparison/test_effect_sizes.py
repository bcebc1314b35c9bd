"""Sizes of differences: no noise in expectation, intervals that cover, quotients, the verdict and groups."""

import numpy as np
import pytest

from modeldiff_core.comparison.contrast import contrast_of, find_contrast, sample_of
from modeldiff_core.comparison.effect_sizes import Drawn, EffectSizes, Estimate, effect_sizes, fieller, pair_sums
from modeldiff_core.comparison.grouping import Traits, common, grouped
from modeldiff_core.comparison.slopes import slope_angles
from modeldiff_core.comparison.verdict import models_needed, verdict
from tests.modeldiff_core.comparison.planted_margins import Planted, planted


def sizes_of(made: Planted, components: int = 3) -> EffectSizes:
    sample = sample_of(made.masks, made.margins)
    fits = sample.fits()
    contrast = contrast_of(sample, fits)
    return effect_sizes(sample, fits, contrast, find_contrast(contrast, fits, components))


def test_pair_sums_have_no_noise_and_their_variance() -> None:
    rng = np.random.default_rng(0)
    u, mean = rng.normal(size=(1, 60)) / 60, rng.normal(size=12) / 3
    truth = float(np.square(u.sum() * mean).sum())
    values, variances = [], []
    for _ in range(600):
        noise = rng.normal(size=(60, 12)).astype(np.float32)
        z = (noise + mean).astype(np.float32)
        value, influence, twice = pair_sums(Drawn(u, (z, z), (noise, noise), (noise, noise), u))
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
    sizes = sizes_of(planted(0, 0.4, in_b=in_b, shape=(600, 60, 40)))
    under = sizes.under("a", 0), sizes.under("b", 0)
    more, less = reversed(under) if in_b else under
    assert more.low > 2 * less.high
    difference, total = sizes.difference(0), sizes.all_that_differs()
    assert 0 < difference.low < difference.value < difference.high
    assert total.low > 0
    share = sizes.share([0])
    assert share is not None
    assert share.low > 0.5
    assert share.high < 1.4
    ratio = sizes.ratio(0)
    assert ratio is not None
    assert ratio.low > 2
    assert sizes.stability[0] > 0.7


def truth_of(made: Planted, sizes: EffectSizes) -> float:
    """Return the variance along the first direction that margins without noise have, at the slopes that were used."""
    sample = sample_of(made.masks, made.margins)
    fits, operator, units = sample.fits(), sample.halves[0], sample.units
    weights = contrast_of(sample, fits).weights
    found = []
    for half in (0, 1):
        directions, rows = sizes.versions[half], operator.rows[1 - half]
        clean = [(y / unit)[rows] for y, unit in zip(made.expected, units, strict=True)]
        a, b = ((operator.columns[1 - half] @ (y - y.mean(0))).T for y in clean)
        factors = []
        for h in (0, 1):
            angles = slope_angles(*fits.products(h, directions.T))
            r = weights[:, None] * (np.cos(angles)[:, None] * a - np.sin(angles)[:, None] * b)
            factors.append((r - r.mean(0)) @ directions[0])
        found.append(factors[0] @ factors[1])
    return float(np.mean(found)) / sizes.unit


def test_intervals_cover_what_the_directions_hold_without_noise() -> None:
    covered, values = [], []
    for seed in range(40):
        made = planted(seed, 0.4, noise_b=1.5, shape=(300, 30, 20))
        sizes = sizes_of(made, 1)
        interval, truth = sizes.difference(0), truth_of(made, sizes)
        covered.append(interval.low <= truth <= interval.high)
        values.append((interval.value, truth))
    assert np.mean(covered) >= 0.85  # 34 of 40; of intervals that cover 95 % fewer have probability .004
    estimate, true = np.mean(values, 0)
    assert true > 0.01
    assert estimate == pytest.approx(true, rel=0.15)


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
    nothing, much = sizes_of(planted(1, shape=(600, 40, 30))), sizes_of(planted(2, 0.5, shape=(600, 40, 30)))
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
