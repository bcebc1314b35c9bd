"""Leading eigenvectors against a dense float64 solution, by the exact and by the Krylov way."""

import numpy as np
import pytest
import torch

from modeldiff_core.comparison import eigen
from modeldiff_core.comparison.eigen import CrossCovariance, leading_eigenvectors

SHAPES = pytest.mark.parametrize(("rows", "train"), [(80, 200), (200, 80), (150, 150), (90, 300)])
WAYS = pytest.mark.parametrize("way", ["exact", "krylov"])


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """One of the two ways, whatever the size; the other one is not to be had."""
    monkeypatch.setattr(eigen, "EXACT_SIDE", 1000 if way == "exact" else 0)
    monkeypatch.setattr(eigen, "_krylov" if way == "exact" else "_exact", None)


def matrix(rows: int, train: int, seed: int, precision: torch.dtype, *, cross: bool) -> CrossCovariance:
    """A dozen strong directions in noise; with `cross`, noise of its own in each of two matrices."""
    rng = np.random.default_rng(seed)
    loadings, basis = (np.linalg.qr(rng.normal(size=(n, 12)))[0] for n in (rows, train))
    strong = loadings * np.geomspace(80, 20, 12) @ basis.T
    x, y = (torch.from_numpy(strong + 0.05 * rng.normal(size=strong.shape)).to(precision) for _ in range(2))
    return CrossCovariance(x, y if cross else x)


def dense(m: CrossCovariance) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors [count, train] of the matrix itself, largest first."""
    x, y = m.x.double().numpy(), m.y.double().numpy()
    values, vectors = np.linalg.eigh((x.T @ y + y.T @ x) / 2)
    return values[::-1], vectors.T[::-1]


@SHAPES
@WAYS
@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_eigenvectors_are_those_of_the_dense_matrix(rows: int, train: int, cross: bool, precision: torch.dtype) -> None:
    m = matrix(rows, train, 0, precision, cross=cross)
    values, vectors = dense(m)
    assert (values[:5] > 1.05 * values[1:6]).all(), "single eigenvalues, so each vector is one up to its sign"
    found = leading_eigenvectors(m, 5).numpy()
    assert found.dtype == np.float64
    cosine = np.einsum("ij,ij->i", found, vectors[:5])
    np.testing.assert_allclose(found * np.sign(cosine)[:, None], vectors[:5], atol=1e-5)
    np.testing.assert_array_equal(leading_eigenvectors(m, 5).numpy(), found)


@WAYS
@pytest.mark.usefixtures("only")
def test_equal_eigenvalues_give_their_space() -> None:
    """Up to a rotation inside it."""
    rng = np.random.default_rng(2)
    u, v = (np.linalg.qr(rng.normal(size=(n, 8)))[0] for n in (80, 120))
    x = torch.from_numpy(u * [5, 3, 3, 3, 1, 0.5, 0.2, 0.1] @ v.T).float()
    found = leading_eigenvectors(CrossCovariance(x, x), 4).numpy()
    np.testing.assert_allclose(found @ found.T, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(found[1:4].T @ found[1:4], v[:, 1:4] @ v[:, 1:4].T, atol=1e-5)


@WAYS
@pytest.mark.usefixtures("only")
def test_the_largest_eigenvalues_not_the_largest_in_size() -> None:
    """What two parts disagree on has a negative eigenvalue, and is no direction."""
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(90, 3)))[0].T
    loadings = np.linalg.qr(rng.normal(size=(50, 3)))[0]
    x = torch.from_numpy(loadings * [9, 3, 2] @ basis)
    y = torch.from_numpy(loadings * [-9, 3, 2] @ basis)
    found = leading_eigenvectors(CrossCovariance(x, y), 2).numpy()
    np.testing.assert_allclose(np.abs(found @ basis.T), [[0, 1, 0], [0, 0, 1]], atol=1e-6)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_fewer_rows_than_vectors(rows: int) -> None:
    """What is left open is filled with orthonormal vectors; nothing is not a number."""
    x = torch.from_numpy(np.random.default_rng(4).normal(size=(rows, 40)))
    found = leading_eigenvectors(CrossCovariance(x, x), 5).numpy()
    np.testing.assert_allclose(found @ found.T, np.eye(5), atol=1e-9)
    span = found[:rows].T @ found[:rows]
    np.testing.assert_allclose(x.numpy() @ span, x.numpy(), atol=1e-9)


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize(("rows", "train"), [(300, 400), (400, 300)])
def test_directions_of_noise_are_found_too(rows: int, train: int, cross: bool) -> None:
    """Where noise makes eigenvalues lie close together, the last of a fixed number of blocks would miss the vectors."""
    rng = np.random.default_rng(6)
    x, y = (torch.from_numpy(rng.normal(size=(rows, train))).float() for _ in range(2))
    m = CrossCovariance(x, y if cross else x)
    values, vectors = dense(m)
    apart = (values[:8] - values[1:9]) / values[0]
    assert 1e-4 < apart.min() < apart.max() < 0.1
    found = leading_eigenvectors(m, 8).numpy()
    cosine = np.einsum("ij,ij->i", found, vectors[:8])
    np.testing.assert_allclose(found * np.sign(cosine)[:, None], vectors[:8], atol=1e-5)


@pytest.mark.parametrize("count", [48, 60, 100, 140, 200, 290])
def test_a_large_share_of_the_vectors(count: int) -> None:
    """A few blocks then fill the whole space, so there is nothing to grow."""
    rng = np.random.default_rng(7)
    x = torch.from_numpy(rng.normal(size=(320, 300)) * np.geomspace(1, 0.01, 300))
    m = CrossCovariance(x, x)
    found, vectors = leading_eigenvectors(m, count).numpy(), dense(m)[1][:count]
    np.testing.assert_allclose(np.abs(np.einsum("ij,ij->i", found, vectors)), 1, atol=1e-9)


def test_eigenvalues_that_are_equal_but_for_rounding_end() -> None:
    """Nothing tells their vectors apart: any orthonormal ones will do."""
    rng = np.random.default_rng(8)
    x = torch.from_numpy(np.linalg.qr(rng.normal(size=(400, 300)))[0]).float()
    found = leading_eigenvectors(CrossCovariance(x, x), 5).numpy()
    np.testing.assert_allclose(found @ found.T, np.eye(5), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(x.double().numpy() @ found.T, axis=0), 1, atol=1e-5)


def test_the_krylov_way_takes_few_products() -> None:
    """Where directions are strong no more than the randomized default of scikit-learn: 8 blocks, each one product."""
    columns = []

    class Counted(CrossCovariance):
        def __call__(self, v: torch.Tensor) -> torch.Tensor:
            columns.append(v.shape[1])
            return super().__call__(v)

    m = matrix(300, 400, 1, torch.float32, cross=False)
    leading_eigenvectors(Counted(m.x, m.x), 5)
    assert 2 <= len(columns) <= 8 + 1
    assert set(columns) == {5 + eigen.SPARE}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@WAYS
@pytest.mark.usefixtures("only")
def test_cuda_agrees_with_the_cpu() -> None:
    m = matrix(80, 200, 0, torch.float32, cross=False)
    on_device = CrossCovariance(*(2 * (m.x.cuda(),)))
    found = leading_eigenvectors(on_device, 4)
    assert found.is_cuda
    np.testing.assert_allclose(found.cpu().numpy(), leading_eigenvectors(m, 4).numpy(), atol=1e-5)
