"""Similarity of representations against closed forms, and residual representations against a planted feature."""

import numpy as np
import pytest

from modeldiff_core.comparison.representations import (
    canonical_correlations,
    linear_cka,
    mean_cca,
    residual_representation,
)
from modeldiff_core.errors import ConfigError


def orthonormal(images: int, columns: int, seed: int = 0) -> np.ndarray:
    """Columns of length 1, orthogonal to each other and to the constant."""
    drawn = np.random.default_rng(seed).normal(size=(images, columns + 1))
    drawn[:, 0] = 1
    return np.linalg.qr(drawn)[0][:, 1:]


def test_shared_columns_have_the_closed_form() -> None:
    """A has columns 0..4, B columns 3..8 of one orthonormal set: two shared. CKA = 2/√(5·6), CCA = 2/min(5, 6)."""
    q = orthonormal(40, 9)
    a, b = q[:, :5], q[:, 3:9]
    assert linear_cka(a, b) == pytest.approx(2 / np.sqrt(30))
    assert mean_cca(a, b) == pytest.approx(2 / 5)
    np.testing.assert_allclose(canonical_correlations(a, b), [1, 1, 0, 0, 0], atol=1e-7)


def test_columns_at_an_angle_have_its_cosine() -> None:
    """b = cos φ·a + sin φ·c: canonical correlation cos φ, CKA cos² φ; with lengths s the CKA of several is weighted."""
    q = orthonormal(30, 4)
    b = np.stack([0.6 * q[:, 0] + 0.8 * q[:, 2], 0.28 * q[:, 1] + 0.96 * q[:, 3]], axis=1)
    a = q[:, :2]
    np.testing.assert_allclose(canonical_correlations(a, b), [0.6, 0.28])
    assert linear_cka(a, b) == pytest.approx((0.6**2 + 0.28**2) / 2)
    lengths = np.array([3.0, 1.0])
    expected = (0.6**2 * 9 + 0.28**2 * 1) / np.sqrt((81 + 1) * 2)
    assert linear_cka(a * lengths, b) == pytest.approx(expected)
    np.testing.assert_allclose(canonical_correlations(a * lengths, b), [0.6, 0.28])


def test_what_changes_neither() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(50, 6)).astype(np.float32)
    turned = a.astype(np.float64) @ np.linalg.qr(rng.normal(size=(6, 6)))[0] * 3 + 7
    assert linear_cka(a, turned) == pytest.approx(1)
    assert linear_cka(a, a * np.arange(1, 7)) < 0.95, "CKA feels the lengths of columns"
    assert mean_cca(a, turned @ rng.normal(size=(6, 6))) == pytest.approx(1)
    assert mean_cca(a, rng.normal(size=(50, 6))) < 0.5


def test_constant_and_dependent_columns() -> None:
    a = orthonormal(20, 3)
    assert linear_cka(a, np.ones((20, 2))) == 0
    assert mean_cca(a, np.ones((20, 2))) == 0
    double = np.concatenate([a, a], axis=1)
    assert len(canonical_correlations(double, double)) == 3


def test_the_feature_that_b_lacks_is_the_first_direction() -> None:
    """A is B turned, with one feature more on a few images: the first direction is that feature's, and tells them."""
    rng = np.random.default_rng(2)
    b = rng.normal(size=(200, 8))
    carried = np.arange(200) < 25
    feature = np.linalg.qr(rng.normal(size=(12, 12)))[0][0]
    a = b @ rng.normal(size=(8, 12)) + 3.0 * np.outer(carried, feature) + 0.1 * rng.normal(size=(200, 12))
    found = residual_representation(a, b, 2, ridge=1e-6)
    assert abs(found.directions[0] @ feature) > 0.95
    projections = found.projections[:, 0] * np.sign(found.directions[0] @ feature)
    assert projections[carried].min() > projections[~carried].max()
    assert 0.002 < found.unexplained < 0.2
    same = residual_representation(b @ rng.normal(size=(8, 12)), b, 1, ridge=1e-9)
    assert same.unexplained < 1e-6


def test_an_image_has_no_part_in_its_own_map() -> None:
    """With as many features as images a map that saw its own images would leave nothing."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(40, 5)), rng.normal(size=(40, 40))
    assert residual_representation(a, b, 1, ridge=1e-6).unexplained > 0.5


def test_wrong_input_is_named() -> None:
    a = np.zeros((5, 3))
    with pytest.raises(ConfigError, match="same 5 images as the first, two or more"):
        linear_cka(a, np.zeros((6, 3)))
    with pytest.raises(ConfigError, match="1 to 3"):
        residual_representation(a, a, 4)
    with pytest.raises(ConfigError, match="2 to 5"):
        residual_representation(a, a, 1, folds=6)
