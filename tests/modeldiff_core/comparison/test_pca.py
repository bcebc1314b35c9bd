"""Residual PCA against scikit-learn on the residuals, and what it must not depend on."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from modeldiff_core.comparison import ResidualPCA, eigen, residual, residual_crossfit, residual_pca, variance_along
from modeldiff_core.comparison.residuals import normalized
from modeldiff_core.errors import ConfigError

SHAPES = pytest.mark.parametrize(("targets", "train"), [(40, 90), (90, 40), (50, 50)])


def thetas(targets: int = 40, train: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated datamodels whose residuals have well separated directions and a mean that is not zero."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(targets, train))
    loadings = rng.normal(size=(targets, 6)) * [12, 8, 5, 3.5, 2.5, 1.8] + [9, 0, -4, 0, 1, 0]
    basis = np.linalg.qr(rng.normal(size=(train, 6)))[0]
    lengths = rng.uniform(0.2, 5, size=(targets, 1))
    return lengths * (shared + loadings @ basis.T), 0.8 * shared + 0.5 * rng.normal(size=shared.shape)


def same_up_to_sign(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert found.shape == expected.shape
    signs = np.sign(np.einsum("ij,ij->i", found, expected))[:, None]
    np.testing.assert_allclose(found * signs, expected, atol=tolerance)


@SHAPES
@pytest.mark.parametrize("normalize", [True, False])
def test_directions_are_those_of_scikit_learn(targets: int, train: int, normalize: bool) -> None:
    a, b = thetas(targets, train)
    found = residual_pca(a, b, 5, normalize=normalize)
    left = residual(normalized(a), normalized(b)) if normalize else residual(a, b)
    oracle = PCA(5, svd_solver="full").fit(left)
    assert (oracle.explained_variance_[:-1] > 1.01 * oracle.explained_variance_[1:]).all(), "directions differ"
    assert np.abs(oracle.mean_).max() > 0.01, "without centring the directions would differ"
    same_up_to_sign(found.directions, oracle.components_, 1e-5)
    np.testing.assert_allclose(found.projections, left @ found.directions.T, atol=1e-10)
    np.testing.assert_allclose(
        (found.projections - found.projections.mean(0)).var(0, ddof=1), oracle.explained_variance_, rtol=1e-8
    )


def test_normalization_changes_the_answer() -> None:
    a, b = thetas()
    one, other = residual_pca(a, b, 3).directions, residual_pca(a, b, 3, normalize=False).directions
    assert np.abs(np.einsum("ij,ij->i", one, other)).min() < 0.99


@SHAPES
def test_directions_are_orthonormal_and_their_largest_entry_positive(targets: int, train: int) -> None:
    directions = residual_pca(*thetas(targets, train), 6).directions
    np.testing.assert_allclose(directions @ directions.T, np.eye(6), atol=1e-8)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1)
    assert (largest > 0).all()
    assert (directions.min(1) < 0).all(), "not all entries have one sign"


def test_the_sign_does_not_depend_on_the_sign_of_the_rows() -> None:
    a, b = thetas()
    np.testing.assert_allclose(residual_pca(-a, b, 3).directions, residual_pca(a, b, 3).directions, atol=1e-10)


def assert_same(one: ResidualPCA, other: ResidualPCA) -> None:
    for name in ("directions", "projections", "explained_variance_a", "explained_variance_b"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-9)


@pytest.mark.parametrize("normalize", [True, False])
def test_the_scale_of_b_does_not_matter(normalize: bool) -> None:
    a, b = thetas()
    scale = np.geomspace(0.01, 100, len(b))[:, None]
    assert_same(residual_pca(a, scale * b, 4, normalize=normalize), residual_pca(a, b, 4, normalize=normalize))


def test_the_scale_of_a_matters_only_without_normalization() -> None:
    a, b = thetas()
    scale = np.geomspace(0.1, 10, len(a))[:, None]
    assert_same(residual_pca(scale * a, b, 4), residual_pca(a, b, 4))
    raw = [residual_pca(x, b, 4, normalize=False).directions for x in (a, scale * a)]
    assert np.abs(np.einsum("ij,ij->i", *raw)).min() < 0.99


def test_explained_variances_are_shares_of_the_unit_rows() -> None:
    a, b = thetas()
    found = residual_pca(a, b, 4)
    for theta, variance in ((a, found.explained_variance_a), (b, found.explained_variance_b)):
        rows = np.stack([row / np.sqrt(row @ row) for row in theta])
        expected = [np.var([row @ direction for row in rows]) for direction in found.directions]
        np.testing.assert_allclose(variance, expected, atol=1e-12)
        assert 0 < variance.sum() < 1
    full = np.eye(a.shape[1])
    assert 0.5 < variance_along(a, full).sum() <= 1
    assert (found.explained_variance_a > 2 * found.explained_variance_b).all(), "A's own directions matter to A"


@pytest.mark.parametrize("exact", [1000, 0])
def test_single_precision_stays_single(exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eigen, "EXACT_SIDE", exact)
    a, b = thetas(80, 90)
    single, double = residual_pca(a.astype(np.float32), b.astype(np.float32), 3), residual_pca(a, b, 3)
    for name in ("directions", "projections", "explained_variance_a", "explained_variance_b"):
        assert getattr(single, name).dtype == np.float32
        np.testing.assert_allclose(getattr(single, name), getattr(double, name), atol=1e-4)


def test_algorithms_that_are_the_same_have_no_residual() -> None:
    a, _ = thetas()
    found = residual_pca(a, a.copy(), 3)
    assert np.isfinite(found.directions).all()
    np.testing.assert_allclose(found.projections, 0, atol=1e-12)


@pytest.mark.parametrize("components", [0, -1, 10, 41])
def test_components_that_there_cannot_be(components: int) -> None:
    """Ten targets around their mean span nine directions."""
    a, b = thetas(10, 40)
    assert residual_pca(a, b, 9).directions.shape == (9, 40)
    with pytest.raises(ConfigError, match="between 1 and 9") as caught:
        residual_pca(a, b, components)
    assert caught.value.key == "comparison.components"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(value: float) -> None:
    a, b = thetas()
    b[7, 0] = value
    with pytest.raises(ConfigError, match="theta_b: expected finite values, got 'target 7"):
        residual_pca(a, b, 2)


def test_targets_that_nothing_explains_are_excluded_and_said_to_be() -> None:
    a, b = thetas()
    a[3], b[8], a[9], b[9] = 0, 0, 0, 0
    found = residual_pca(a, b, 4)
    assert np.flatnonzero(found.excluded).tolist() == [3, 8, 9]
    kept = ~found.excluded
    alone = residual_pca(a[kept], b[kept], 4)
    assert not alone.excluded.any()
    np.testing.assert_allclose(found.directions, alone.directions, atol=1e-9)
    np.testing.assert_allclose(found.projections[kept], alone.projections, atol=1e-9)
    np.testing.assert_array_equal(found.projections[~kept], 0)
    np.testing.assert_allclose(found.explained_variance_a, alone.explained_variance_a, atol=1e-12)
    assert np.isfinite(found.explained_variance_b).all()


def test_too_few_targets_are_left() -> None:
    a, b = thetas(10, 40)
    a[:4] = 0
    with pytest.raises(ConfigError, match=r"between 1 and 5 for these targets \(4 of 10 have datamodels of zeros"):
        residual_pca(a, b, 6)
    with pytest.raises(ConfigError, match="10 of 10 have datamodels of zeros") as caught:
        residual_pca(np.zeros_like(a), b, 1)
    assert caught.value.key == "targets"


def test_matrices_of_different_shapes() -> None:
    a, b = thetas()
    with pytest.raises(ConfigError, match=r"theta_b: expected a matrix .* of shape \(40, 90\), got \(40, 89\)"):
        residual_pca(a, b[:, :-1], 2)


def test_scores_as_trak_saves_them() -> None:
    """Half precision, [train, targets] transposed, on disk."""
    a, b = (theta.astype(np.float16) for theta in thetas())
    saved = [np.asfortranarray(theta.T).T for theta in (a, b)]
    found, expected = residual_pca(saved[0], saved[1], 3), residual_pca(a.astype(np.float64), b.astype(np.float64), 3)
    assert found.directions.dtype == np.float32
    np.testing.assert_allclose(found.directions, expected.directions, atol=1e-5)
    np.testing.assert_allclose(found.explained_variance_a, expected.explained_variance_a, rtol=1e-3)


def test_noise_of_two_parts_cancels() -> None:
    """One planted direction among two that are pure noise of one part each: only the first is in both parts."""
    rng = np.random.default_rng(5)
    basis, loadings = np.linalg.qr(rng.normal(size=(120, 3)))[0].T, rng.normal(size=(3, 80))
    shared = 3 * rng.normal(size=(80, 120))
    a = [shared + 40 * np.outer(loadings[0], basis[0]) + 60 * np.outer(loadings[k], basis[k]) for k in (1, 2)]
    by_crossfit = residual_crossfit((a[0], a[1]), (shared, shared), 1, normalize=False)
    by_pca = residual_pca((a[0] + a[1]) / 2, shared, 1, normalize=False)
    assert abs(by_crossfit.directions[0] @ basis[0]) > 0.95
    assert abs(by_crossfit.directions[0] @ basis[0]) > abs(by_pca.directions[0] @ basis[0])
    same = residual_crossfit((a[0], a[0]), (shared, shared), 3)
    np.testing.assert_allclose(same.directions, residual_pca(a[0], shared, 3).directions, atol=1e-8)
    np.testing.assert_allclose(same.projections, residual_pca(a[0], shared, 3).projections, atol=1e-8)
