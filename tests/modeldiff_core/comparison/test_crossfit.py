"""Cross-fitting: a planted difference shows and noise does not, though in sample noise does."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.comparison import CrossFit, cross_fit, extremes, residual_pca, variance_along
from modeldiff_core.comparison.crossfit import matched, subpopulation_overlap
from modeldiff_core.comparison.subpopulations import shared_extremes

SEEDS = range(40)
COMPONENTS = 4


def test_noise_is_centered_on_zero_across_halves_but_not_in_sample(halves: Callable[..., Any]) -> None:
    """A and B share every datamodel and differ by estimation noise alone."""
    crossed, in_sample = [], []
    for seed in SEEDS:
        study = halves(seed)
        crossed.append(cross_fit(study.a, study.b, COMPONENTS).difference)
        found = residual_pca(study.a[0], study.b[0], COMPONENTS)
        in_sample.append(found.explained_variance_a - found.explained_variance_b)
    differences, fooled = np.array(crossed), np.array(in_sample)
    error = differences.std(0) / np.sqrt(len(SEEDS))
    assert (error > 0).all()
    assert (np.abs(differences.mean(0)) < 4 * error).all()
    assert fooled.min() > 0, "in sample every direction of every null study looks like a difference"
    assert (fooled.mean(0) > 10 * np.abs(differences.mean(0))).all()
    assert (fooled.mean(0) > 3 * differences.std(0)).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_direction_is_found_again_and_belongs_to_a(halves: Callable[..., Any], seed: int) -> None:
    study = halves(seed, strength=8.0)
    fit = cross_fit(study.a, study.b, COMPONENTS)
    directions = residual_pca(study.a[0], study.b[0], COMPONENTS).directions
    assert abs(directions[0] @ study.direction) > 0.9
    assert fit.difference[0] > 0.05
    assert fit.stability[0] > 0.9
    assert (np.abs(fit.difference[1:]) < 0.03).all()
    assert (fit.stability[1:] < 0.7).all()
    # The residuals of B on A hold the direction too, as what A has and B lacks; no difference there is as large.
    reverse = cross_fit(study.b, study.a, COMPONENTS).difference
    assert reverse[0] < -0.02
    assert reverse.max() < 0.5 * fit.difference[0]


def test_variances_are_those_of_the_other_half(halves: Callable[..., Any]) -> None:
    """Against the definition, written out for each half."""
    study = halves(3, strength=6.0)
    fit = cross_fit(study.a, study.b, COMPONENTS)
    first = residual_pca(study.a[0], study.b[0], COMPONENTS).directions
    second = residual_pca(study.a[1], study.b[1], COMPONENTS).directions
    second = second[matched(first, second)]
    for theta, found in ((study.a, fit.variance_a), (study.b, fit.variance_b)):
        expected = (variance_along(theta[1], first) + variance_along(theta[0], second)) / 2
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        same_half = (variance_along(theta[0], first) + variance_along(theta[1], second)) / 2
        assert np.abs(found / same_half - 1).max() > 0.05
    np.testing.assert_allclose(fit.stability, [abs(x @ y) for x, y in zip(first, second, strict=True)], rtol=1e-5)
    np.testing.assert_allclose(fit.difference, fit.variance_a - fit.variance_b)


def test_a_reference_orders_the_directions(halves: Callable[..., Any]) -> None:
    """In whatever order and with whatever signs the directions of all models come."""
    study = halves(3, strength=6.0)
    base = residual_pca(study.a[0], study.b[0], COMPONENTS).directions
    plain = cross_fit(study.a, study.b, COMPONENTS)
    order = np.array([2, 0, 3, 1])
    referred = cross_fit(study.a, study.b, COMPONENTS, -base[order])
    assert len(set(plain.difference.round(4))) == COMPONENTS
    for name in ("variance_a", "variance_b", "stability"):
        np.testing.assert_allclose(getattr(referred, name), getattr(plain, name)[order], rtol=1e-5)
    assert isinstance(referred, CrossFit)


@given(components=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_matching_is_one_to_one_and_the_best_there_is(components: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, found = rng.normal(size=(2, components, 7))
    partner = matched(reference, found)
    assert sorted(partner) == list(range(components))
    cosines = np.abs(reference @ found.T)
    best = max(cosines[range(components), list(order)].sum() for order in permutations(range(components)))
    assert cosines[range(components), partner].sum() == pytest.approx(best)


@given(st.permutations(range(6)), st.integers(0, 2**32))
def test_matching_undoes_a_shuffle(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = np.linalg.qr(rng.normal(size=(9, 6)))[0].T
    shuffled = (reference * rng.choice([-1, 1], size=(6, 1)))[order]
    assert np.array(order)[matched(reference, shuffled)].tolist() == list(range(6))


@given(
    values=st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=12),
    count=st.integers(1, 15),
)
def test_extremes_are_the_ends_of_the_sorted_values(values: list[float], count: int) -> None:
    array = np.array(values, np.float32)
    top, bottom = extremes(array, count)
    kept = min(count, len(values))
    assert array[top].tolist() == sorted(values, reverse=True)[:kept]
    assert array[bottom].tolist() == sorted(values)[:kept]
    assert len(set(top)) == len(set(bottom)) == kept


def test_extremes_of_equal_values_are_always_the_same() -> None:
    top, bottom = extremes(np.array([1.0, 3.0, 3.0, 0.0, 0.0, 2.0]), 2)
    assert (top.tolist(), bottom.tolist()) == ([2, 1], [3, 4])


def test_a_real_subpopulation_is_found_again_and_noise_is_not(halves: Callable[..., Any]) -> None:
    real, noise = [], []
    for seed in range(8):
        study = halves(seed, strength=8.0)
        overlap = subpopulation_overlap(study.a, study.b, cross_fit(study.a, study.b, COMPONENTS), 6)
        assert overlap.shape == (COMPONENTS,)
        assert ((overlap >= 0) & (overlap <= 1)).all()
        real.append(overlap[0])
        study = halves(seed)
        noise.append(subpopulation_overlap(study.a, study.b, cross_fit(study.a, study.b, COMPONENTS), 6).mean())
    assert np.mean(real) > 0.7
    assert np.mean(noise) < 0.45
    assert np.mean(real) > 2 * np.mean(noise) > 0


def test_overlap_is_a_count() -> None:
    one, other = np.arange(10.0), np.array([9.0, 1, 2, 3, 4, 5, 6, 7, 8, 0])
    assert shared_extremes(one, one, 3) == 1
    assert shared_extremes(one, -one, 3) == 0
    assert shared_extremes(one, other, 2) == 0.5
