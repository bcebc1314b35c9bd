"""Varimax: the criterion at its maximum, and two differences that PCA mixes told apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from modeldiff_core.comparison import DirectionSettings, residual_crossfit, residual_pca
from modeldiff_core.comparison.rotation import varimax

TURNED = DirectionSettings(rotate=True)


def criterion(projections: np.ndarray) -> float:
    """Σ_j var_i(p²_ij) of centred projections."""
    return float((projections - projections.mean(0)).__pow__(2).var(0).sum())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_of_two_components_it_is_the_best_angle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sparse = rng.normal(size=(200, 2)) * (rng.random((200, 2)) < 0.2)
    angle = rng.uniform(0, np.pi)
    mixed = sparse @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def turned(by: float) -> float:
        return criterion(mixed @ np.array([[np.cos(by), -np.sin(by)], [np.sin(by), np.cos(by)]]))

    best = max(-minimize_scalar(lambda by: -turned(by), bounds=(low, low + 0.2), method="bounded").fun
               for low in np.arange(0, np.pi / 2, 0.2))  # fmt: skip
    rotation = varimax(mixed)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(2), atol=1e-9)
    assert criterion(mixed @ rotation) == pytest.approx(best, rel=1e-4)
    assert criterion(mixed @ rotation) > 1.02 * min(turned(by) for by in np.linspace(0, np.pi, 30))


def two_differences(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Datamodels of A and of B, and two unit directions of equal variance, each of a fifth of A's targets alone."""
    rng = np.random.default_rng(seed)
    known = np.linalg.qr(rng.normal(size=(90, 2)))[0].T
    shared = rng.normal(size=(300, 90))
    amount = np.zeros((300, 2))
    amount[:60, 0] = amount[60:120, 1] = 12
    return shared + amount @ known + 0.1 * rng.normal(size=shared.shape), shared, known


def test_differences_of_equal_variance_are_told_apart() -> None:
    a, b, known = two_differences()
    mixed, apart = (residual_pca(a, b, 2, setting).directions for setting in (DirectionSettings(), TURNED))
    assert np.abs(mixed @ known.T).max() < 0.9, "PCA mixes them"
    cosines = np.abs(apart @ known.T)
    assert cosines.max(0).min() > 0.97
    assert sorted(cosines.argmax(0)) == [0, 1]


def test_the_span_stays_and_order_sign_and_projections_follow() -> None:
    a, b, _ = two_differences(1)
    a[:, 0] += 20 * np.random.default_rng(2).normal(size=len(a))
    for find, one, other in ((residual_pca, a, b), (residual_crossfit, (a, a + 0.1), (b, b))):
        plain, turned = (find(one, other, 4, setting) for setting in (DirectionSettings(), TURNED))
        assert not np.allclose(np.abs(plain.directions), np.abs(turned.directions), atol=0.05)
        np.testing.assert_allclose(turned.directions @ turned.directions.T, np.eye(4), atol=1e-6)
        np.testing.assert_allclose(
            plain.directions.T @ plain.directions, turned.directions.T @ turned.directions, atol=1e-6
        )
        difference = turned.explained_variance_a - turned.explained_variance_b
        assert (np.diff(difference) <= 0).all()
        assert (np.take_along_axis(turned.directions, np.abs(turned.directions).argmax(1)[:, None], 1) > 0).all()
        onto = plain.projections @ plain.directions
        np.testing.assert_allclose(turned.projections, onto @ turned.directions.T, atol=1e-6)


def test_a_single_component_stays() -> None:
    assert varimax(np.random.default_rng(0).normal(size=(20, 1))).tolist() == [[1.0]]
