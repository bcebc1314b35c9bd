"""A contrast with trainings as replicates finds planted directions, and its null keeps the level."""

import numpy as np
import pytest

from modeldiff_core.comparison.trainings import LEAST_TESTED, contrast_of_trainings, residual_directions
from modeldiff_core.errors import ConfigError

TARGETS, Q = 60, 8


def trainings(count: int, mean: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Products of trainings around a mean."""
    return mean + noise * np.random.default_rng(seed).normal(size=(count, *mean.shape))


def common(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(1000 + seed).normal(size=(TARGETS, Q))


def planted(strength: float) -> tuple[np.ndarray, np.ndarray]:
    """A mean with one more direction for some targets, and the direction."""
    direction = np.eye(Q)[3]
    rows = np.zeros(TARGETS)
    rows[:15] = strength
    return common() + np.outer(rows, direction), direction


def test_a_planted_direction_is_first_and_significant() -> None:
    mean, direction = planted(3.0)
    a, b = trainings(8, mean, 0.5, 0), trainings(8, common(), 0.5, 1)
    found = contrast_of_trainings(a, b, 3)
    assert abs(found.coefficients[0] @ direction) > 0.9
    assert found.p is not None
    assert found.patterns == 2**7
    assert found.p[0] == pytest.approx(1 / 2**7), "the smallest p there is"
    assert found.p[1] > 0.05
    assert np.all(np.diff(found.strengths) <= 0)
    assert found.variance_a[0] > 2 * found.variance_b[0]
    assert found.sides[0] == "a-b"
    on = np.abs(found.projections[:, 0] - np.median(found.projections[:, 0]))
    assert on[:15].min() > np.median(on[15:])


def test_exchanging_the_sides_gives_the_same_directions() -> None:
    mean, _ = planted(2.0)
    a, b = trainings(6, mean, 0.5, 0), trainings(6, common(), 0.5, 1)
    one, other = contrast_of_trainings(a, b, 3), contrast_of_trainings(b, a, 3)
    assert one.p is not None
    assert other.p is not None
    np.testing.assert_allclose(one.strengths, other.strengths, rtol=1e-9)
    np.testing.assert_allclose(one.p, other.p)
    np.testing.assert_allclose(np.abs((one.coefficients * other.coefficients).sum(1)), 1, rtol=1e-9)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("scale", "noise"), [(1.0, 1.0), (1.6, 2.0)])
def test_nothing_is_found_where_only_strength_and_noise_differ(scale: float, noise: float, normalize: bool) -> None:
    ps = []
    for seed in range(60):
        a = trainings(6, common(seed), 1.5, 2 * seed)
        b = scale * trainings(6, common(seed), 1.5 * noise, 2 * seed + 1)
        p = contrast_of_trainings(a, b, 1, normalize=normalize).p
        assert p is not None
        ps.append(p[0])
    # More than 7 of 60 at a true level of 5 % has probability .02; the smallest p is 1/32.
    assert sum(p <= 0.05 for p in ps) <= 7
    assert len({*np.round(ps, 6)}) > 10


def test_too_few_trainings_have_no_p() -> None:
    for count in (2, 3, LEAST_TESTED - 1):
        found = contrast_of_trainings(trainings(count, common(), 1.0, 0), trainings(count, common(), 1.0, 1), 2)
        assert found.p is None
        assert found.patterns == 0
        assert np.isfinite(found.strengths).all()


def test_many_trainings_take_random_patterns() -> None:
    a, b = trainings(14, common(), 1.0, 0), trainings(14, common(), 1.0, 1)
    found = contrast_of_trainings(a, b, 1, seed=3)
    assert found.patterns == 2**11
    again = contrast_of_trainings(a, b, 1, seed=3)
    assert found.p is not None
    assert again.p is not None
    assert found.p[0] == again.p[0]


def test_residuals_of_one_training_each() -> None:
    mean, direction = planted(4.0)
    a, b = trainings(1, mean, 0.1, 0)[0], trainings(1, common(), 0.1, 1)[0]
    directions, projections = residual_directions(a, b, 2)
    assert abs(directions[0] @ direction) > 0.9
    share = (a * b).sum(1) / (b * b).sum(1)
    np.testing.assert_allclose(projections, (a - share[:, None] * b) @ directions.T)


def test_bad_input_is_refused() -> None:
    a = trainings(4, common(), 1.0, 0)
    with pytest.raises(ConfigError, match=r"metagradients.trainings: expected two trainings"):
        contrast_of_trainings(a[:1], a[:1], 1)
    with pytest.raises(ConfigError, match="with A's shape"):
        contrast_of_trainings(a, a[:3], 1)
    with pytest.raises(ConfigError, match=r"comparison.components: expected between 1 and 8"):
        contrast_of_trainings(a, a, 9)
