"""Spread: variances by hand, examples that make one algorithm unstable, and nulls where only levels of noise differ."""

import numpy as np
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.spread import Spread, smallest_p, spread, spread_difference

TRAIN, TARGETS, MASKS = 60, 30, 150
BLOCK = np.arange(TRAIN) < 8
MOVED = np.arange(TARGETS) < 15


def masks_of(rng: np.random.Generator) -> np.ndarray:
    return np.argsort(rng.random((MASKS, TRAIN)), axis=1) < TRAIN // 2


def margins(rng: np.random.Generator, masks: np.ndarray, noise: float, unstable: float, seeds: int = 2) -> np.ndarray:
    """Margins linear in the masks, with noise that grows with the block's examples for half of the targets."""
    weights = np.random.default_rng(1).normal(size=(TARGETS, TRAIN))
    of_block = (masks[:, BLOCK].mean(1)[:, None] - 0.5) * MOVED
    scale = noise * np.exp(unstable * of_block)
    each = [masks @ weights.T + scale * rng.normal(size=(MASKS, TARGETS)) for _ in range(seeds)]
    return np.stack(each, axis=1).reshape(-1, TARGETS)


def test_values_by_hand() -> None:
    """Two models at 1 and 3 have variance 2, at 0 and 4 have 8, at 2 and 2 none: the median is 2."""
    masks = np.repeat(np.eye(3, dtype=bool), 2, axis=0)
    found = spread(masks, np.array([[1.0], [3], [0], [4], [2], [2]]))
    assert found.kind == "spread"
    np.testing.assert_array_equal(found.masks, np.eye(3, dtype=bool))
    np.testing.assert_allclose(found.values[:, 0], np.log([2, 5, 1]))
    louder = spread(masks, 10 + 3 * np.array([[1.0], [3], [0], [4], [2], [2]]))
    np.testing.assert_allclose(louder.values, found.values, atol=1e-12)


def test_with_one_model_a_mask_it_is_the_misfit() -> None:
    masks, values = np.eye(4, dtype=bool), np.arange(4.0)[:, None]
    found = spread(masks, values, np.ones((4, 1)))
    assert found.kind == "spread or misfit"
    np.testing.assert_allclose(found.values[:, 0], np.log1p([1, 0, 1, 4]))
    with pytest.raises(ConfigError, match="several models of every mask"):
        spread(masks, values)


def pair(rng: np.random.Generator, noise_b: float, unstable_b: float) -> tuple[Spread, Spread]:
    masks = masks_of(rng)
    rows = np.repeat(masks, 2, axis=0)
    return spread(rows, margins(rng, masks, 1.0, 0.0)), spread(rows, margins(rng, masks, noise_b, unstable_b))


def test_examples_that_make_one_algorithm_unstable_are_found() -> None:
    rng = np.random.default_rng(2)
    found = [spread_difference(*pair(rng, 1.0, 4.0), draws=39) for _ in range(10)]
    assert sum(one.p <= 0.05 for one in found) >= 9
    for one in found:
        inside, outside = np.abs(one.direction[BLOCK]).mean(), np.abs(one.direction[~BLOCK]).mean()
        assert inside > 2 * outside
        assert np.abs(one.projections[MOVED]).mean() > 3 * np.abs(one.projections[~MOVED]).mean()
        assert np.linalg.norm(one.direction) == pytest.approx(1)


def test_an_algorithm_that_is_noisier_everywhere_has_no_other_spread() -> None:
    rng = np.random.default_rng(3)
    found = [spread_difference(*pair(rng, noise, 0.0), draws=39) for noise in (1.0, 2.0) for _ in range(12)]
    assert sum(one.p <= 0.05 for one in found) <= 4, "5 % of 24 is 1.2; 5 has a chance of 1 %"


def test_equal_instability_is_no_difference() -> None:
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(10):
        masks = masks_of(rng)
        rows = np.repeat(masks, 2, axis=0)
        a, b = (spread(rows, margins(rng, masks, 1.0, 4.0)) for _ in range(2))
        alarms += spread_difference(a, b, draws=39).p <= 0.05
    assert alarms <= 3


def one_unstable(rng: np.random.Generator) -> tuple[Spread, Spread]:
    """B's models lie further apart over the first example alone, for half of the targets."""
    masks = np.argsort(rng.random((MASKS, TRAIN)), axis=1) < TRAIN // 2
    scale = np.exp(1.5 * masks[:, :1] * MOVED)
    a, b = (s * rng.normal(size=(2, MASKS, TARGETS)) for s in (np.ones_like(scale), scale))
    rows = np.repeat(masks, 2, axis=0)
    return tuple(spread(rows, y.transpose(1, 0, 2).reshape(-1, TARGETS)) for y in (a, b))  # type: ignore[return-value]


def test_a_single_example_is_found_by_its_row() -> None:
    rng = np.random.default_rng(6)
    found = [spread_difference(*one_unstable(rng), draws=39, by_example=True) for _ in range(10)]
    assert all(one.p <= 0.05 for one in found)
    assert all(one.direction.argmin() == 0 for one in found), "it lies on B's side"
    before = spread_difference(*one_unstable(np.random.default_rng(6)), draws=39)
    assert before.p == before.p_of_variance == found[0].p_of_variance, "draws are the same"
    assert before.variance == found[0].variance


def test_nothing_is_found_in_nothing_by_example() -> None:
    rng = np.random.default_rng(7)
    found = [spread_difference(*pair(rng, 2.0, 0.0), draws=39, by_example=True).p for _ in range(24)]
    assert sum(p <= 0.05 for p in found) <= 4, "5 % of 24 is 1.2; 5 has a chance of 1 %"


def test_the_same_models_do_not_differ() -> None:
    own, _ = pair(np.random.default_rng(9), 1.0, 0.0)
    found = spread_difference(own, own, draws=19)
    assert (found.p, found.variance) == (1.0, 0.0)
    assert np.linalg.norm(found.direction) == pytest.approx(1)


def test_the_smallest_of_two_p_is_one_among_the_draws() -> None:
    null = np.array([[1.0, 9.0], [2.0, 8.0], [3.0, 1.0], [4.0, 2.0]])
    assert smallest_p(np.array([5.0]), null[:, :1]) == pytest.approx(1 / 5)
    assert smallest_p(np.array([5.0, 3.0]), null) == pytest.approx(2 / 5), "the first draw is the largest of the other"
    assert smallest_p(np.array([0.0, 0.0]), null) == 1
    rng = np.random.default_rng(8)
    p = [smallest_p(one[0], one[1:]) for one in rng.normal(size=(400, 20, 2))]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.05)


def test_masks_of_their_own_are_refused() -> None:
    rng = np.random.default_rng(5)
    (a, _), (b, _) = pair(rng, 1.0, 0.0), pair(rng, 1.0, 0.0)
    with pytest.raises(ConfigError, match="the same masks"):
        spread_difference(a, b)
