"""The contrast's null: levels where noise, strength and masks differ, power, and tests one after another."""

import numpy as np
import pytest

from modeldiff_core.comparison.contrast import contrast_of, find_contrast, sample_of
from modeldiff_core.comparison.contrast_null import ENOUGH, decided, null_sample, sequential_p
from modeldiff_core.comparison.slope_test import slope_test
from tests.modeldiff_core.comparison.planted_margins import planted

DRAWS = 19
SMALL = (160, 30, 20)


def first_p(seed: int, shape: tuple[int, int, int] = SMALL, **settings: object) -> float:
    made = planted(seed, shape=shape, **settings)  # type: ignore[arg-type]
    sample = sample_of(made.masks, made.margins)
    fits = sample.fits()
    contrast = contrast_of(sample, fits)
    found = find_contrast(contrast, fits, 1)
    null = null_sample(sample, contrast, found.steady).largest(range(DRAWS), seed)
    return sequential_p(float(found.eigenvalues[0]), null)


@pytest.mark.parametrize(
    "settings", [{}, {"noise_b": 2.5}, {"spread": 0.4, "noise_b": 2.0}, {"paired": False}], ids=str
)
def test_nothing_is_found_where_only_noise_strength_or_masks_differ(settings: dict[str, object]) -> None:
    found = [first_p(seed, **settings) for seed in range(20)]
    assert sum(p <= 0.05 for p in found) <= 4  # 1 is expected; 5 or more have probability .003
    assert len(set(found)) > 5


@pytest.mark.parametrize("settings", [{}, {"noise_b": 2.0}], ids=str)
def test_few_models_on_masks_of_their_own_do_not_differ_from_themselves(settings: dict[str, object]) -> None:
    """Hardly more models than training examples: a ridge makes other datamodels of other masks, for A as for B."""
    found = [first_p(seed, (80, 60, 30), paired=False, **settings) for seed in range(12)]
    assert sum(p <= 0.05 for p in found) <= 3  # 0.6 is expected; 4 or more have probability .002
    assert len(set(found)) > 4


def test_a_planted_difference_is_found_on_masks_of_their_own() -> None:
    found = [first_p(seed, (400, 40, 30), strength=0.5, paired=False, noise_b=1.5) for seed in range(5)]
    assert sum(p <= 0.05 for p in found) >= 4


@pytest.mark.parametrize("in_b", [False, True])
def test_a_planted_difference_is_found_on_either_side(in_b: bool) -> None:
    found = [first_p(seed, (400, 40, 30), strength=0.5, in_b=in_b, noise_b=1.5) for seed in range(5)]
    assert sum(p <= 0.05 for p in found) >= 4


def test_draws_are_pure_functions_of_seed_and_number() -> None:
    made = planted(1, shape=SMALL)
    sample = sample_of(made.masks, made.margins)
    contrast = contrast_of(sample, sample.fits())
    null = null_sample(sample, contrast, find_contrast(contrast, sample.fits(), 1).steady)
    together = null.largest(range(4), 3)
    assert len(set(together)) == 4
    np.testing.assert_array_equal(together[2:], null.largest(range(2, 4), 3))
    assert not np.isin(null.largest(range(4), 4), together).any()


def test_after_the_first_direction_the_second_is_tested_by_itself() -> None:
    made = planted(2, 0.5, shape=(300, 40, 30))
    sample = sample_of(made.masks, made.margins)
    fits = sample.fits()
    contrast = contrast_of(sample, fits)
    found = find_contrast(contrast, fits, 2)
    whole = null_sample(sample, contrast, found.steady).largest(range(DRAWS), 0)
    assert found.eigenvalues[0] > whole.max()
    rest = contrast.without(found.directions[:1])
    second = find_contrast(rest, fits, 1)
    own = null_sample(sample, rest, second.steady).largest(range(DRAWS), 0)
    assert own.mean() < whole.mean()
    assert sequential_p(float(second.eigenvalues[0]), own) > 0.05


def test_p_of_draws_that_stop_early() -> None:
    draws = np.array([0.0, 2.0] * 10 + [0.0] * 5)
    assert sequential_p(1.0, draws) == ENOUGH / 20
    assert sequential_p(1.0, draws[:19]) == pytest.approx(10 / 20)
    assert sequential_p(3.0, draws) == 1 / 26
    assert sequential_p(0.0, draws) == 1.0
    assert decided(1.0, draws, 100)
    assert not decided(1.0, draws[:19], 100)
    assert decided(3.0, draws, 25)


def test_p_that_stops_early_is_valid() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2000):
        draws = rng.normal(size=100)
        found.append(sequential_p(float(np.exp(rng.normal())), np.exp(draws[:99])))
    assert len(set(found)) > 20
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(found) <= level) <= level + 0.02


def test_targets_that_react_unequally_are_told_from_those_that_do_not() -> None:
    found = []
    for spread in (0.0, 0.5):
        made = planted(3, spread=spread, noise_b=1.5, shape=(300, 40, 30))
        sample = sample_of(made.masks, (3 * made.margins[0], made.margins[1]))
        fits = sample.fits()
        contrast = contrast_of(sample, fits)
        directions = find_contrast(contrast, fits, 1).directions
        found.append(slope_test(sample, fits, contrast, directions.T, 0))
    same, unequal = found
    assert same.p > 0.05
    assert same.middle == pytest.approx(3, rel=0.25)
    assert unequal.p <= 0.05
    assert unequal.spread == pytest.approx(0.5, abs=0.2)
    assert same.log_slopes.shape == (2, 30)
