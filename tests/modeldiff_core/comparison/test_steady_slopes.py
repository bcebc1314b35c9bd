"""Slopes drawn toward the common one: where they are one, where they differ, and where nothing is known of them."""

import numpy as np
import pytest

from modeldiff_core.comparison.slopes import slope_angles
from modeldiff_core.comparison.steady_slopes import Products, held_angles, steady_angles

TARGETS = 400


def measured(
    angles: np.ndarray, noise: float | np.ndarray, seed: int, lengths: np.ndarray
) -> tuple[list[Products], Products]:
    """Return noisy products of two halves, and their mean, of datamodels of some slopes and squared lengths."""
    rng = np.random.default_rng(seed)
    c, s = np.cos(angles), np.sin(angles)
    true = np.stack([s * s * lengths, s * c * lengths, c * c * lengths])
    halves = [true + noise * rng.normal(size=true.shape) for _ in range(2)]
    pooled = (halves[0] + halves[1]) / 2
    return [(h[0], h[1], h[2]) for h in halves], (pooled[0], pooled[1], pooled[2])


def test_slopes_that_are_one_lose_nearly_all_of_their_noise() -> None:
    lengths = np.random.default_rng(0).uniform(0.5, 2, TARGETS)
    for common in (0.5, np.pi / 4, 1.1):
        halves, pooled = measured(np.full(TARGETS, common), 0.3, 1, lengths)
        own, steady = slope_angles(*pooled), steady_angles(halves, pooled, lengths)
        assert np.sqrt(np.mean((own - common) ** 2)) > 0.1, "noise moves them"
        assert np.sqrt(np.mean((steady - common) ** 2)) < 0.03


def test_slopes_that_differ_beyond_noise_are_kept() -> None:
    rng = np.random.default_rng(2)
    angles = np.pi / 4 + rng.normal(scale=0.1, size=TARGETS)
    halves, pooled = measured(angles, 0.005, 3, np.ones(TARGETS))
    steady = steady_angles(halves, pooled, np.ones(TARGETS))
    assert np.corrcoef(steady, angles)[0, 1] > 0.99
    assert np.abs(steady - angles).mean() < 0.02


def test_in_between_they_are_nearer_to_the_truth_than_their_own_estimates() -> None:
    rng = np.random.default_rng(4)
    angles = np.pi / 4 + rng.normal(scale=0.1, size=TARGETS)
    lengths = rng.uniform(0.3, 3, TARGETS)
    halves, pooled = measured(angles, 0.2, 5, lengths)
    own, steady = slope_angles(*pooled), steady_angles(halves, pooled, lengths)
    assert np.mean((steady - angles) ** 2) < 0.6 * np.mean((own - angles) ** 2)


def test_a_and_b_may_change_places() -> None:
    rng = np.random.default_rng(6)
    halves, pooled = measured(0.6 + rng.normal(scale=0.1, size=TARGETS), 0.1, 7, np.ones(TARGETS))
    turned = [(b, both, a) for a, both, b in halves]
    found = steady_angles(turned, (pooled[2], pooled[1], pooled[0]), np.ones(TARGETS))
    assert found == pytest.approx(np.pi / 2 - steady_angles(halves, pooled, np.ones(TARGETS)), abs=1e-9)


def test_targets_without_weight_get_the_common_slope() -> None:
    halves, pooled = measured(np.full(20, 0.7), 0.01, 8, np.ones(20))
    weights = np.ones(20)
    weights[:5] = 0
    steady = steady_angles(halves, pooled, weights)
    assert len(set(steady[:5])) == 1
    assert steady[:5] == pytest.approx(0.7, abs=0.02)
    assert steady_angles(halves, pooled, np.zeros(20)) == pytest.approx(slope_angles(*pooled))


def test_margins_that_depend_on_no_training_example_give_finite_slopes() -> None:
    rng = np.random.default_rng(9)
    for size in (1e-150, 1e-12, 1.0):
        halves = [tuple(size * rng.normal(size=(3, TARGETS))) for _ in range(2)]
        pooled = tuple((x + y) / 2 for x, y in zip(*halves, strict=True))
        with np.errstate(all="raise", under="ignore"):
            steady = steady_angles(halves, pooled, np.ones(TARGETS))  # type: ignore[arg-type]
        assert ((steady >= 0) & (steady <= np.pi / 2)).all()
    none = tuple(np.zeros((3, TARGETS)))
    assert np.isfinite(steady_angles([none, none], none, np.ones(TARGETS))).all()  # type: ignore[arg-type, list-item]


def test_slopes_are_held_to_one_multiple_where_little_is_left_of_a_target() -> None:
    rng = np.random.default_rng(9)
    alike, lengths = rng.uniform(0.5, 1.0, TARGETS), np.where(np.arange(TARGETS) < 20, 0.01, 1.0)
    true = np.arctan(1.3 * np.tan(alike))
    halves, _ = measured(true, 0.06 * np.sqrt(lengths), 10, lengths)
    own = [slope_angles(*half) for half in halves]
    held = held_angles(halves, own, alike, np.ones(TARGETS))
    for before, after in zip(own, held, strict=True):
        assert np.abs(before[:20] - true[:20]).mean() > 0.2, "noise alone"
        assert np.abs(after[:20] - true[:20]).mean() < 0.1
        assert np.abs(after[20:] - true[20:]).mean() < np.abs(before[20:] - true[20:]).mean() < 0.05


def test_held_slopes_that_differ_beyond_noise_stay() -> None:
    rng = np.random.default_rng(11)
    true = np.pi / 4 + rng.normal(scale=0.2, size=TARGETS)
    halves, _ = measured(true, 0.01, 12, np.ones(TARGETS))
    own = [slope_angles(*half) for half in halves]
    for after in held_angles(halves, own, np.full(TARGETS, np.pi / 4), np.ones(TARGETS)):
        assert np.abs(after - true).max() < 0.05
