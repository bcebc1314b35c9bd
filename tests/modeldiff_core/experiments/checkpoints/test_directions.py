"""Directions of attributions that are made up: what is planted is found, exchanges leave the basis, alarms are few."""

import numpy as np
import pytest

from modeldiff_core.experiments.checkpoints.compared import FoundDirections, Matrices, directions_of_checkpoints

TARGETS, TRAIN = 40, 60


def matrices(count: int, seed: int, strength: float = 0.0) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """A's and B's attributions: a common part of rank 5, noise, and a direction that only A depends on."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((TARGETS, 5)) @ rng.standard_normal((5, TRAIN))
    direction = rng.standard_normal(TRAIN)
    planted = np.outer(np.arange(TARGETS) < 12, direction / np.linalg.norm(direction)) * strength
    noise = rng.standard_normal((2, count, TARGETS, TRAIN)) * 2
    return list(common + planted + noise[0]), list(common + noise[1]), direction / np.linalg.norm(direction)


def found(a: list[np.ndarray], b: list[np.ndarray]) -> FoundDirections:
    sides = a, b
    return directions_of_checkpoints(Matrices(len(a), lambda side, at: sides[side][at]), 12, 3, top=5)


def likeness(result: FoundDirections, direction: np.ndarray) -> float:
    """|Cosine| of the first direction with a planted one in scaled columns."""
    planted = direction * result.scale
    cosine = result.vectors @ result.sided.directions[0].coefficients @ planted / np.linalg.norm(planted)
    return float(abs(cosine))


def test_a_planted_direction_comes_first_on_the_side_of_a() -> None:
    a, b, direction = matrices(8, 0, 20.0)
    result = found(a, b)
    first = result.sided.directions[0]
    assert first.side == "a-b"
    assert first.p == pytest.approx(2 / 2**8)
    assert likeness(result, direction) > 0.9
    assert first.variance_a > 10 * abs(first.variance_b)
    furthest = np.argsort(-np.abs(first.projections - np.median(first.projections)))[:12]
    assert len(set(furthest.tolist()) & set(range(12))) >= 11
    assert 0 < result.captured <= 1
    assert 0 < result.repeatability[0] < 1


def test_the_basis_knows_nothing_of_the_split() -> None:
    a, b, _ = matrices(6, 1, 20.0)
    swapped = [b[0], *a[1:]], [a[0], *b[1:]]
    one, two = found(a, b).vectors, found(*swapped).vectors
    np.testing.assert_allclose(np.abs(np.diag(one.T @ two)), 1, atol=1e-6)


def test_alarms_are_as_rare_as_the_level_says_where_there_is_no_difference() -> None:
    smallest = [min(one.p for one in found(*matrices(6, seed)[:2]).sided.directions) for seed in range(40)]
    assert min(smallest) >= 2 / 2**6
    assert sum(p <= 0.05 for p in smallest) <= 6
    assert np.mean(smallest) > 0.3


def test_scales_of_targets_do_not_matter() -> None:
    a, b, direction = matrices(6, 2, 20.0)
    scale = np.geomspace(1, 30, TARGETS)[::-1, None]
    first = found([x * scale for x in a], [x * scale for x in b])
    assert likeness(first, direction) > 0.7


def test_fewer_than_six_are_not_tested() -> None:
    a, b, _ = matrices(5, 3, 20.0)
    result = found(a, b)
    assert len(result.sided.null) == 0
    assert all(np.isnan(one.p) for one in result.sided.directions)
    single = found(a[:1], b[:1])
    assert np.isnan(single.repeatability[0])
