"""The permutation null on simulated margins: small p for a planted difference, ordinary p where nothing differs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from modeldiff_core.comparison import Method, Pairs, common_fits, cross_fit, permuted_differences
from modeldiff_core.datamodels import fit_lasso, fit_ridge
from modeldiff_core.datamodels.lasso import Lasso
from modeldiff_core.datamodels.ridge import Ridge
from modeldiff_core.statistics import p_values
from modeldiff_core.statistics.replicates import Replicates
from modeldiff_core.subsets import SubsetSampler

TRAIN, TARGETS, MODELS = 40, 30, 300
COMPONENTS, PERMUTATIONS = 2, 20
Study = tuple[tuple[Pairs, Pairs], np.ndarray]


def simulated(seed: int, strength: float, *, paired: bool = True, cold: bool = False) -> Study:
    """Halves of both algorithms' margins (masks·θ + noise), and the differences that are observed on each side.

    strength: of the direction that A alone knows, in units of the noise; 0 if A and B do not differ.
    cold: refits start at weights of zero.
    """
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(TARGETS, TRAIN)) * (rng.random((TARGETS, TRAIN)) < 0.3)
    planted = np.outer(rng.normal(size=TARGETS), np.arange(TRAIN) < 6) / np.sqrt(6)
    masks = [SubsetSampler(TRAIN, 0.5, seed + 1000 * (which and not paired)).masks(range(MODELS)) for which in (0, 1)]
    margins = [
        (x @ theta.T + rng.normal(size=(MODELS, TARGETS))).astype(np.float32)
        for x, theta in zip(masks, (shared + strength * planted, shared), strict=True)
    ]
    halves, weights = [], []
    for half in (0, 1):
        rows = np.arange(MODELS) % 2 == half
        a, b = (fit_lasso(x[rows], y[rows], n_lambdas=10) for x, y in zip(masks, margins, strict=True))
        (x_a, x_b), (y_a, y_b) = (tuple(array[rows] for array in arrays) for arrays in (masks, margins))
        if cold:
            a, b = (replace(fit, weights=np.zeros_like(fit.weights)) for fit in (a, b))
        halves.append(Pairs(x_a, x_b, y_a, y_b, Lasso().common(a, b)))
        weights.append((a.weights, b.weights))
    (a0, b0), (a1, b1) = weights
    observed = [cross_fit(x, y, COMPONENTS).difference for x, y in (((a0, a1), (b0, b1)), ((b0, b1), (a0, a1)))]
    return (halves[0], halves[1]), np.stack(observed)


@pytest.mark.parametrize("paired", [True, False])
def test_a_planted_difference_is_beyond_chance(paired: bool) -> None:
    halves, observed = simulated(1, 2.0, paired=paired)
    null = permuted_differences(halves, COMPONENTS, range(PERMUTATIONS), 0)
    assert null.shape == (PERMUTATIONS, 2, COMPONENTS)
    assert np.isfinite(null).all()
    assert len(np.unique(null)) == null.size
    assert observed[0, 0] > 3 * np.abs(null).max()
    assert p_values(observed[0], null.ravel())[0] == 1 / (1 + null.size)
    # Rows have unit length, so what A alone knows makes the rest of its datamodels a little shorter than B's.
    assert observed[1].max() < 0.1 * observed[0, 0], "B knows nothing that A does not"


def test_no_difference_gives_ordinary_p_values() -> None:
    """Eight null studies, each with the p of its largest difference against the largest of each of 12 permutations.

    Such a p is as small as it can be, 1/13, with chance 1/13 or so: in three or more of eight studies, 2 %.
    """
    smallest, pooled = [], []
    for seed in range(8):
        halves, observed = simulated(seed, 0.0)
        null = permuted_differences(halves, COMPONENTS, range(12), seed)
        smallest.append(p_values(observed.ravel(), null.max((1, 2))).min())
        pooled.append(p_values(observed.ravel(), null.ravel()))
    assert len(set(smallest)) > 3
    assert sum(p <= 1 / 13 for p in smallest) <= 2
    assert 0.25 < np.mean(smallest) < 0.75
    assert 0.35 < np.mean(pooled) < 0.65


def test_a_permutation_is_a_function_of_seed_and_number() -> None:
    halves, _ = simulated(2, 1.0)
    null = permuted_differences(halves, COMPONENTS, range(4), 7)
    np.testing.assert_array_equal(permuted_differences(halves, COMPONENTS, range(2, 4), 7), null[2:])
    np.testing.assert_array_equal(permuted_differences(halves, COMPONENTS, range(3, 4), 7), null[3:])
    other = permuted_differences(halves, COMPONENTS, range(4), 8)
    assert not np.isclose(other, null).any()
    assert permuted_differences(halves, COMPONENTS, range(0), 7).shape == (0, 2, COMPONENTS)


def test_exchanging_everything_exchanges_the_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Swapping no model is the observed comparison, swapping all of them is the comparison of B with A."""
    halves, observed = simulated(3, 2.0)

    found = []
    for swapped in (False, True):
        monkeypatch.setattr(Replicates, "exchange", lambda self, _, swapped=swapped: np.full(len(self), swapped))
        found.append(permuted_differences(halves, COMPONENTS, range(1), 0)[0])
    np.testing.assert_array_equal(found[1], found[0][::-1])
    assert np.abs(found[0][0] - found[0][1]).max() > 0.05
    np.testing.assert_allclose(found[0], observed, atol=0.03)


def test_the_starting_point_does_not_matter() -> None:
    halves, _ = simulated(2, 1.0)
    cold, _ = simulated(2, 1.0, cold=True)
    null = permuted_differences(halves, COMPONENTS, range(3), 0)
    assert np.abs(null).max() > 0.005
    np.testing.assert_allclose(permuted_differences(cold, COMPONENTS, range(3), 0), null, atol=2e-3)


@given(
    differences=st.lists(st.integers(-5, 5), min_size=1, max_size=6),
    null=st.lists(st.integers(-5, 5), max_size=12),
)
def test_p_values_are_a_count(differences: list[int], null: list[int]) -> None:
    found = p_values(np.array(differences, float), np.array(null, float))
    assert found.tolist() == [(1 + sum(y >= x for y in null)) / (1 + len(null)) for x in differences]
    assert ((found > 0) & (found <= 1)).all()


def test_without_draws_nothing_is_tested() -> None:
    assert p_values(np.array([0.1, 9.0]), np.empty(0)).tolist() == [1, 1]


def test_a_difference_of_mean_margins_is_not_chance() -> None:
    """Where A is surer of a target in all models alike, exchanging that too would drown every direction in noise."""
    halves, observed = simulated(1, 1.0)
    surer = np.linspace(-20, 20, TARGETS, dtype=np.float32)
    shifted = tuple(replace(half, margins_a=half.margins_a + surer) for half in halves)
    null = permuted_differences(halves, COMPONENTS, range(6), 0)
    same = permuted_differences((shifted[0], shifted[1]), COMPONENTS, range(6), 0)
    assert np.abs(null).max() > 1e-3
    np.testing.assert_allclose(same, null, atol=1e-3)
    assert observed[0, 0] > 3 * np.abs(same).max()


@pytest.mark.parametrize("method", ["pca", "crossfit"])
def test_p_values_are_uniform_where_nothing_differs(method: Method) -> None:
    """Kolmogorov–Smirnov over 20 null studies: the largest difference against the largest of each of 9 exchanges."""
    p = []
    for seed in range(20):
        halves = ridge_study(seed)
        null = permuted_differences(halves, COMPONENTS, range(9), seed, method=method)
        fits = common_fits(halves, method=method)
        observed = max(fits.compare(COMPONENTS, reverse=reverse).difference.max() for reverse in (False, True))
        p.append(p_values(np.array([observed]), null.max((1, 2)))[0])
    assert len(set(p)) > 5
    spread = np.array(p) - np.random.default_rng(0).random(len(p)) / 10
    assert kstest(spread, "uniform").pvalue > 0.01


def ridge_study(seed: int) -> tuple[Pairs, Pairs]:
    """A and B that do not differ: margins of both with noise of their own, refitted by ridge."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(TARGETS, TRAIN))
    masks = SubsetSampler(TRAIN, 0.5, seed).masks(range(120))
    a, b = ((masks @ theta.T + 3 * rng.normal(size=(120, TARGETS))).astype(np.float32) for _ in range(2))
    refit = Ridge().common(*(fit_ridge(masks, y, penalties=(0.3,)) for y in (a, b)))
    first, second = (Pairs(masks[h::2], masks[h::2], a[h::2], b[h::2], refit) for h in (0, 1))
    return first, second


def test_quarters_are_every_other_model_of_a_half() -> None:
    halves = ridge_study(0)
    fits = common_fits(halves, method="crossfit")
    for half, parts_a, parts_b in zip(halves, fits.parts_a, fits.parts_b, strict=True):
        for quarter in (0, 1):
            masks = half.masks_a[quarter::2]
            np.testing.assert_allclose(parts_a[quarter], half.refit(masks, half.margins_a[quarter::2], None))
            np.testing.assert_allclose(parts_b[quarter], half.refit(masks, half.margins_b[quarter::2], None))
        assert not np.allclose(parts_a[0], parts_a[1], atol=0.1)
    whole = common_fits(halves)
    np.testing.assert_array_equal(whole.a[0], fits.a[0])
    assert whole.parts_a == ((whole.a[0],), (whole.a[1],))
