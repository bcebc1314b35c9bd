"""Leading eigenvectors of the symmetric part of a product of two halves' rows."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import eigh

from modeldiff_core.comparison.eigen import CrossCovariance, leading_eigenvectors

SMALL = 300
"""Up to this many training examples leading eigenvectors are taken of the matrix itself."""
LANCZOS, CLOSE = 60, 1e-3
"""Most steps of Lanczos for one eigenvector, and what may be left of it, relative to its eigenvalue."""
Rows = Float[np.ndarray, "targets train"]


def leading_vectors(x: Rows, y: Rows, count: int) -> Float[np.ndarray, "train count"]:
    """Return the unit eigenvectors of the `count` largest eigenvalues of (XᵀY + YᵀX)/2, the largest first."""
    train = x.shape[1]
    if count == 1:
        return leading_pair(x, y)[1][:, None]
    if train <= SMALL:
        product = x.T @ y
        found = eigh((product + product.T) / 2, subset_by_index=[train - count, train - 1], check_finite=False)[1]
        return np.asarray(found[:, ::-1], np.float32)
    matrix = CrossCovariance(torch.from_numpy(x), torch.from_numpy(y))
    return np.asarray(leading_eigenvectors(matrix, count).numpy().T, np.float32)


def leading_pair(x: Rows, y: Rows) -> tuple[float, Float[np.ndarray, " train"]]:
    """Return the largest eigenvalue of (XᵀY + YᵀX)/2 and its unit eigenvector.

    Exactly up to SMALL training examples; beyond, by Lanczos with full orthogonalization from a fixed start,
    until what is left of the vector is CLOSE times its eigenvalue (the eigenvalue's own error is of second
    order in that).
    """
    train = x.shape[1]
    if train <= SMALL:
        product = x.T @ y
        values, vectors = eigh((product + product.T) / 2, subset_by_index=[train - 1] * 2, check_finite=False)
        return float(values[-1]), np.asarray(vectors[:, -1], np.float32)
    start = np.random.Generator(np.random.Philox(key=0)).standard_normal((train,)).astype(np.float32)
    steps = min(LANCZOS, train - 1)
    basis = np.empty((steps, train), np.float32)
    diagonal, beside = np.empty(steps), np.empty(steps)
    vector: np.ndarray = start / np.linalg.norm(start)
    for step in range(steps):
        basis[step] = vector
        image = (x.T @ (y @ vector) + y.T @ (x @ vector)) / 2
        diagonal[step] = image @ vector
        for _ in range(2):
            image -= basis[: step + 1].T @ (basis[: step + 1] @ image)
        beside[step] = np.linalg.norm(image)
        if step % 5 == 4 or step == steps - 1 or beside[step] == 0:
            values, vectors = np.linalg.eigh(_tridiagonal(diagonal[: step + 1], beside[:step]))
            if beside[step] * abs(vectors[-1, -1]) <= CLOSE * abs(values[-1]) or step == steps - 1:
                break
        if beside[step] == 0:
            break
        vector = image / beside[step]
    found = basis[: step + 1].T @ vectors[:, -1].astype(np.float32)
    return float(values[-1]), np.asarray(found / max(np.linalg.norm(found), 1e-30), np.float32)


def _tridiagonal(diagonal: np.ndarray, beside: np.ndarray) -> np.ndarray:
    return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
