"""The null of disjoint parts: each of one algorithm's models, none in both, and stricter than exchanges."""

import numpy as np
import pytest

from modeldiff_core.comparison import Pairs, common_fits, part_differences, permuted_differences
from modeldiff_core.comparison.permutation import both_sides
from modeldiff_core.datamodels import fit_ridge
from modeldiff_core.datamodels.ridge import Ridge
from modeldiff_core.statistics import p_values
from modeldiff_core.subsets import SubsetSampler

TRAIN, TARGETS, MODELS, COMPONENTS = 40, 30, 241, 2
Halves = tuple[Pairs, Pairs]


def study(seed: int, strength: float) -> Halves:
    """A, which knows a direction more if strength is above 0, and B: margins with noise, other masks, ridge."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(TARGETS, TRAIN)) * (rng.random((TARGETS, TRAIN)) < 0.3)
    planted = np.outer(rng.normal(size=TARGETS), np.arange(TRAIN) < 6) / np.sqrt(6)
    masks = [SubsetSampler(TRAIN, 0.5, 2 * seed + which).masks(range(MODELS)) for which in (0, 1)]
    margins = [
        (x @ theta.T + rng.normal(size=(MODELS, TARGETS))).astype(np.float32)
        for x, theta in zip(masks, (shared + strength * planted, shared), strict=True)
    ]
    fits = [fit_ridge(x, y, penalties=(0.1,)) for x, y in zip(masks, margins, strict=True)]
    refit = Ridge().common(*fits)
    first, second = (Pairs(masks[0][h::2], masks[1][h::2], margins[0][h::2], margins[1][h::2], refit) for h in (0, 1))
    return first, second


class Recorded:
    """A refit that keeps what it was asked to fit, and fits at random."""

    def __init__(self) -> None:
        self.asked: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, masks: np.ndarray, margins: np.ndarray, counts: object = None) -> np.ndarray:
        self.asked.append((masks, margins))
        weights: np.ndarray = np.random.default_rng(len(self.asked)).normal(size=(margins.shape[1], masks.shape[1]))
        return weights.astype(np.float32)


@pytest.mark.parametrize("draw", [0, 1])
def test_parts_are_disjoint_models_of_one_algorithm(draw: int) -> None:
    refit = Recorded()
    first, second = (Pairs(half.masks_a, half.masks_b, half.margins_a, half.margins_b, refit) for half in study(0, 1.0))
    part_differences((first, second), COMPONENTS, range(draw, draw + 1), 0)
    assert len(refit.asked) == 4
    for half, asked in zip((first, second), (refit.asked[:2], refit.asked[2:]), strict=True):
        masks, margins = (half.masks_b, half.margins_b) if draw else (half.masks_a, half.margins_a)
        rows = [[int(np.flatnonzero((margins == row).all(1))[0]) for row in own] for _, own in asked]
        assert len(rows[0]) == len(rows[1]) == len(masks) // 2 > 50
        assert not set(rows[0]) & set(rows[1])
        assert rows[0] != sorted(rows[0]), "at random"
        for own, (x, _) in zip(rows, asked, strict=True):
            np.testing.assert_array_equal(x, masks[own])


def test_a_draw_is_a_function_of_seed_and_number() -> None:
    halves = study(1, 1.0)
    null = part_differences(halves, COMPONENTS, range(4), 7)
    assert null.shape == (4, 2, COMPONENTS)
    assert len(np.unique(null)) == null.size
    np.testing.assert_array_equal(part_differences(halves, COMPONENTS, range(2, 4), 7), null[2:])
    assert not np.isclose(part_differences(halves, COMPONENTS, range(4), 8), null).any()
    assert part_differences(halves, COMPONENTS, range(0), 7).shape == (0, 2, COMPONENTS)


def test_a_planted_difference_is_beyond_it() -> None:
    halves = study(1, 2.0)
    observed = both_sides(common_fits(halves), COMPONENTS, normalize=True)
    null = part_differences(halves, COMPONENTS, range(20), 0)
    assert observed[0, 0] > 2 * np.abs(null).max()
    assert p_values(observed[0], null.ravel())[0] == 1 / (1 + null.size)


def test_it_is_wider_than_exchanges_and_sounds_no_more_alarms() -> None:
    """Six null studies, the p of the largest difference against the largest of each of 12 draws."""
    p, wider = [], []
    for seed in range(6):
        halves = study(seed, 0.0)
        observed = both_sides(common_fits(halves), COMPONENTS, normalize=True).max()
        parts = part_differences(halves, COMPONENTS, range(12), seed)
        exchanges = permuted_differences(halves, COMPONENTS, range(12), seed)
        p.append(p_values(np.array([observed]), parts.max((1, 2)))[0])
        wider.append(parts.std() / exchanges.std())
    assert len(set(p)) > 2
    assert np.mean(wider) > 1.3
    assert np.mean(p) > 0.4
    assert sum(one <= 1 / 13 for one in p) <= 1
