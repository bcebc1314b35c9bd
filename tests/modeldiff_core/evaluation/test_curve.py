"""Points of the learning curve against a regression of their own, and rounds that stop where the curve says."""

import numpy as np
import pytest

from modeldiff_core.datamodels import fit_lasso
from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation import linear_datamodeling_score
from modeldiff_core.evaluation.curve import MaskedMargins, Point, next_point
from modeldiff_core.evaluation.law import LearningCurve
from modeldiff_core.evaluation.rounds import expected_gain, has_saturated, round_sizes
from modeldiff_core.subsets import SubsetSampler

HELD = 60


@pytest.fixture(scope="module")
def population() -> tuple[np.ndarray, np.ndarray]:
    """1,200 models whose margins are sparse and linear in 60 examples, with as much noise as signal."""
    rng = np.random.default_rng(0)
    masks = SubsetSampler(60, 0.5, 0).masks(range(1200))
    weights = rng.normal(size=(30, 60)) * (rng.random((30, 60)) < 0.3)
    signal = masks @ weights.T
    return masks, (signal + signal.std(0) * rng.normal(size=signal.shape)).astype(np.float32)


def held_out(population: tuple[np.ndarray, np.ndarray]) -> MaskedMargins:
    masks, margins = population
    return MaskedMargins(masks[:HELD], margins[:HELD])


def points(population: tuple[np.ndarray, np.ndarray], sizes: tuple[int, ...]) -> list[Point]:
    masks, margins = population
    found: list[Point] = []
    for size in sizes:
        previous = found[-1] if found else None
        rows = slice(HELD, size)
        found.append(next_point(previous, MaskedMargins(masks[rows], margins[rows]), held_out(population)))
    return found


def test_every_point_scores_as_a_regression_of_its_own(population: tuple[np.ndarray, np.ndarray]) -> None:
    sizes = round_sizes(1200, HELD, 1.4, 10)
    masks, margins = population
    compared = 0
    for size, point in zip(sizes, points(population, sizes), strict=True):
        alone = fit_lasso(masks[HELD:size], margins[HELD:size], gap_tolerance=1e-5)
        score = linear_datamodeling_score(alone.weights, alone.bias, masks[:HELD], margins[:HELD])
        assert point.models == size - HELD
        if size > 5 * HELD:  # with fewer models either λ is chosen by a handful of them
            compared += 1
            assert point.scores.mean() == pytest.approx(score.mean(), abs=0.02)
    assert compared >= 4


def test_more_models_give_a_higher_score(population: tuple[np.ndarray, np.ndarray]) -> None:
    means = np.array([p.scores.mean() for p in points(population, (120, 240, 480, 960))])
    assert means[0] > 0.2
    assert (np.diff(means) > 0.01).all()


def test_a_point_continues_from_what_was_stored(population: tuple[np.ndarray, np.ndarray]) -> None:
    whole = points(population, (120, 200, 300))
    masks, margins = population
    rows = slice(HELD, 300)
    again = next_point(whole[1], MaskedMargins(masks[rows], margins[rows]), held_out(population))
    np.testing.assert_array_equal(again.weights, whole[2].weights)
    assert (again.weights != whole[1].weights).any()


def test_prefixes_grow_by_whole_shards_and_do_not_know_the_budget() -> None:
    few, many = round_sizes(1000, 100, 1.2, 50), round_sizes(5000, 100, 1.2, 50)
    assert few[0] == 200
    assert few[-1] == 1000
    assert few[:-1] == many[: len(few) - 1]
    assert all(size % 50 == 0 for size in many)
    ratios = np.array(many[5:-1]) / many[4:-2]
    assert (abs(ratios - 1.2) < 0.1).all()
    assert round_sizes(30, 10, 1.2, 20) == (30,)
    with pytest.raises(ConfigError, match="subsets.rounds.growth"):
        round_sizes(1000, 100, 1.0, 50)


def known(models: np.ndarray, plateau: float = 0.7, noise: float = 0.0) -> LearningCurve:
    rng = np.random.default_rng(0)
    mean = plateau - 0.4 * (models / 100) ** -0.6
    return LearningCurve(models, mean[:, None] + 0.1 * rng.normal(size=50) + noise * rng.normal(size=(len(models), 1)))


def stop(curves_of: list[float], least_gain: float, noise: float) -> int:
    sizes = np.array(round_sizes(20_000, 100, 1.2, 10))
    for end in range(1, len(sizes) + 1):
        if has_saturated([known(sizes[:end] - 100, plateau, noise) for plateau in curves_of], 1.2, least_gain):
            return int(sizes[end - 1])
    return int(sizes[-1])


@pytest.mark.parametrize("least_gain", [0.02, 0.01, 0.005])
def test_rounds_stop_where_the_known_curve_gains_too_little(least_gain: float) -> None:
    """0.4·(m/100)^−0.6·(1.2^0.6 − 1) = least_gain is solved by hand."""
    expected = 100 + 100 * (0.4 * (1.2**0.6 - 1) / least_gain) ** (1 / 0.6)
    assert 500 < expected < 5000
    assert stop([0.7], least_gain, 0.0) == pytest.approx(expected, rel=0.2)
    assert stop([0.7, 0.9], least_gain, 0.002) == pytest.approx(expected, rel=0.35)


def test_one_algorithm_that_still_gains_keeps_both_going() -> None:
    sizes = np.array(round_sizes(3000, 100, 1.2, 10)) - 100
    done, rising = known(sizes), LearningCurve(sizes, np.log(sizes)[:, None] / 20 + np.zeros(50))
    assert expected_gain(rising, 1.2) > 0.0075 > expected_gain(done, 1.2) > 0
    assert has_saturated([done, done], 1.2, 0.0075)
    assert not has_saturated([done, rising], 1.2, 0.0075)
    assert not has_saturated([LearningCurve(sizes[:5], done.scores[:5])], 1.2, 0.9), "too few points for the law"
