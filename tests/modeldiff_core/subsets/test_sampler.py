"""Masks: fixed by (seed, model), of exact size, uniform; and the chance that a class is missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from modeldiff_core.errors import ConfigError
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.subsets.sampler import probability_of_missing_a_class


@given(
    n_train=st.integers(4, 60),
    fraction=st.floats(0.2, 0.8),
    seed=st.integers(0, 1000),
    models=st.lists(st.integers(0, 10_000), min_size=1, max_size=12),
)
def test_a_mask_depends_on_seed_and_model_alone(n_train: int, fraction: float, seed: int, models: list[int]) -> None:
    sampler = SubsetSampler(n_train, fraction, seed)
    masks = sampler.masks(models)
    assert masks.shape == (len(models), n_train)
    assert set(masks.sum(1)) == {round(fraction * n_train)}
    for row, model in enumerate(models):
        np.testing.assert_array_equal(masks[row], sampler.masks([model])[0])


def test_sequences_ranges_and_arrays_of_models_are_alike() -> None:
    sampler = SubsetSampler(30, 0.5, 1)
    masks = sampler.masks(range(3, 8))
    assert len({mask.tobytes() for mask in masks}) == 5
    np.testing.assert_array_equal(masks, sampler.masks([3, 4, 5, 6, 7]))
    np.testing.assert_array_equal(masks, sampler.masks(np.arange(3, 8)))
    assert not np.array_equal(masks, SubsetSampler(30, 0.5, 2).masks(range(3, 8)))


def test_golden_masks() -> None:
    """Stored trainings rely on these: a change of them is a new recipe version."""
    assert [np.flatnonzero(mask).tolist() for mask in SubsetSampler(20, 0.5, 3).masks([0, 1, 1000])] == [
        [0, 1, 4, 5, 7, 8, 9, 12, 15, 16],
        [1, 3, 4, 6, 7, 12, 13, 15, 16, 17],
        [0, 3, 4, 9, 11, 12, 14, 15, 16, 18],
    ]


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_inclusion_frequencies_are_those_of_uniform_subsets(fraction: float) -> None:
    """One example is in with probability p, two of them with p·(s−1)/(n−1): 5 standard errors at the worst example."""
    n, m = 40, 4000
    sampler = SubsetSampler(n, fraction, 11)
    masks = sampler.masks(range(m)).astype(float)
    p = sampler.size / n
    assert np.abs(masks.mean(0) - p).max() < 5 * np.sqrt(p * (1 - p) / m)
    both = p * (sampler.size - 1) / (n - 1)
    pairs = (masks.T @ masks / m)[np.triu_indices(n, 1)]
    assert np.abs(pairs - both).max() < 5 * np.sqrt(both * (1 - both) / m)


@pytest.mark.parametrize(
    ("n_train", "fraction"),
    [(100, 0.0), (100, 1.0), (100, -0.5), (100, 1.5), (100, float("nan")), (10, 0.01), (10, 0.99)],
)
def test_a_fraction_that_leaves_nothing_in_or_out_is_refused(n_train: int, fraction: float) -> None:
    with pytest.raises(ConfigError) as caught:
        SubsetSampler(n_train, fraction, 0)
    assert caught.value.key == "subsets.fraction"


def test_chance_of_a_missing_class_is_the_hypergeometric_one() -> None:
    labels = np.repeat([0, 1, 2], [50, 6, 4])
    chance, rarest = probability_of_missing_a_class(labels, 3, 30, 1)
    exact = sum(hypergeom(60, count, 30).pmf(0) for count in (50, 6, 4))
    assert 0.01 < exact < 0.5
    assert rarest == 2
    assert chance == pytest.approx(exact, rel=1e-9)
    assert probability_of_missing_a_class(labels, 3, 30, 3)[0] == pytest.approx(3 * exact, rel=1e-9)
    assert probability_of_missing_a_class(labels, 3, 30, 10**6)[0] == 1


def test_chance_of_a_missing_class_agrees_with_drawn_masks() -> None:
    """With these sizes two classes are hardly ever missing at once, so the bound is close to the frequency."""
    labels = np.repeat([0, 1, 2], [50, 6, 4])
    m = 8000
    masks = SubsetSampler(60, 0.5, 5).masks(range(m))
    missing = np.stack([~masks[:, labels == label].any(1) for label in range(3)]).any(0).mean()
    chance, _ = probability_of_missing_a_class(labels, 3, 30, 1)
    assert missing > 0.01
    assert abs(missing - chance) < 5 * np.sqrt(chance / m) + chance**2


def test_extremes_of_a_missing_class() -> None:
    assert probability_of_missing_a_class(np.array([0, 0, 2, 2]), 3, 2, 1) == (1.0, 1)
    assert probability_of_missing_a_class(np.array([0, 0, 1, 1]), 2, 3, 1000)[0] == 0
    n = 60_000
    chance, _ = probability_of_missing_a_class(np.arange(n) % 3000, 3000, n // 2, 1)
    assert chance == pytest.approx(3000 * hypergeom(n, 20, n // 2).pmf(0), rel=1e-6)
