"""Directions of a handful of trainings: by side, free of noise where they can be, tested where they may be."""

import numpy as np
import pytest
from jaxtyping import Float

from modeldiff_core.comparison.training_directions import directions_of_trainings

TARGETS, BASIS = 60, 6


def products(
    trainings: int, plant: float, noise: float = 0.1, seed: int = 0, scale: float = 1.0
) -> Float[np.ndarray, "_trainings targets q"]:
    """J·V of trainings that share a matrix, to which a plant adds one direction for a third of the targets."""
    shared = np.random.default_rng(0).standard_normal((TARGETS, BASIS))
    shared[::3, 2] += plant
    draws = np.random.default_rng(seed + 1).standard_normal((trainings, TARGETS, BASIS))
    return (scale * (shared + noise * draws)).astype(np.float32)


@pytest.mark.parametrize("trainings", [1, 2, 8])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_planted_direction_comes_first_on_its_side(trainings: int, swapped: bool) -> None:
    sides = products(trainings, 4.0), products(trainings, 0.0, seed=5)
    a, b = reversed(sides) if swapped else sides
    found = directions_of_trainings(a, b, 2, top=10)
    first = found.directions[0]
    assert first.side == ("b-a" if swapped else "a-b")
    assert abs(first.coefficients[2]) > 0.95
    assert (first.variance_a > first.variance_b) != swapped
    ends = np.argsort(np.abs(first.projections - first.projections.mean()))
    assert (ends[-10:] % 3 == 0).mean() > 0.9
    assert max(sum(one.side == side for one in found.directions) for side in ("a-b", "b-a")) <= 2
    strengths = [one.strength for one in found.directions]
    assert strengths == sorted(strengths, reverse=True)
    if trainings == 1:
        assert np.isnan([first.stability, first.overlap, first.p]).all()
    else:
        assert first.stability > 0.9
        assert first.overlap > 0.4
    if trainings == 8:
        assert len(found.null) == 128
        assert first.p == 1 / 128
        assert np.nanmedian(np.abs(found.log_slopes)) < 0.2
    else:
        assert not len(found.null)
        assert np.isnan(found.log_slopes).all()


def test_an_algorithm_that_reacts_more_strongly_is_no_difference() -> None:
    found = directions_of_trainings(products(8, 0.0), products(8, 0.0, seed=9, scale=1.6), 2, top=5)
    assert min(one.p for one in found.directions) > 0.05
    assert np.nanmedian(found.log_slopes) == pytest.approx(-np.log(1.6), abs=0.1)
    assert found.similarity.mean() > 0.9
