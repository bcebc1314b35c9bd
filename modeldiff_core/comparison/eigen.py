"""Leading eigenvectors of a covariance or cross-covariance over training examples, which is never formed.

Where the smaller side is small the eigenproblem is solved in the span of the rows, exactly. Else in a block Krylov
subspace from a random start (Musco & Musco 2015), which for as many passes over the rows comes closer than the subspace
iteration of Halko et al. 2011: it keeps all blocks, not only the last. Either way the last product is in float64.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.comparison.residuals import PIECE

EXACT_SIDE = 256
"""Up to this many rows, or training examples, the eigenproblem is solved exactly."""
SPARE = 10
"""Vectors that are sought beyond those asked for."""
BLOCKS = 8
"""Most blocks of a Krylov subspace."""
CONVERGED = 1e-6
"""What a product may leave of a Krylov vector, relative to the largest eigenvalue."""


@dataclass(frozen=True)
class CrossCovariance:
    """M = (XᵀY + YᵀX)/2, up to the number of rows; XᵀX where X is Y. Symmetric, applied without being formed."""

    x: Float[Tensor, "targets train"]
    y: Float[Tensor, "targets train"]

    def __call__(self, v: Float[Tensor, "train columns"]) -> Float[Tensor, "train columns"]:
        """M·v in the precision of v, by blocks of rows where it is not that of the rows."""
        rows = len(self.x) if v.dtype == self.x.dtype else max(1, PIECE // self.x.shape[1])
        out: Tensor = torch.zeros_like(v)
        for x, y in zip(self.x.split(rows), self.y.split(rows), strict=True):
            x = x.to(v.dtype)
            if self.x is self.y:
                out.addmm_(x.T, x @ v)
            else:
                y = y.to(v.dtype)
                out.addmm_(x.T, y @ v, alpha=0.5).addmm_(y.T, x @ v, alpha=0.5)
        return out

    def span(self) -> Float[Tensor, "train dimensions"]:
        """Orthonormal basis of all that M does not map to zero."""
        rows = self.x if self.x is self.y else torch.cat([self.x, self.y])
        return orthonormal(rows.T)


def orthonormal(v: Float[Tensor, "train columns"]) -> Float[Tensor, "train dimensions"]:
    """Orthonormal columns that span those of v; where v lacks rank, some more."""
    q: Tensor = torch.linalg.qr(v).Q
    return q


def leading_eigenvectors(matrix: CrossCovariance, count: int) -> Float[Tensor, "count train"]:
    """Orthonormal eigenvectors of the `count` largest eigenvalues, largest first, float64; largest entry positive."""
    rows = len(matrix.x) * (1 if matrix.x is matrix.y else 2)
    sought = min(count + SPARE, matrix.x.shape[1])
    basis = _exact(matrix, sought) if min(rows, matrix.x.shape[1]) <= EXACT_SIDE else _krylov(matrix, count, sought)
    basis = orthonormal(basis.double())
    image = matrix(basis)
    values, rotation = torch.linalg.eigh(basis.T @ image)
    top = rotation[:, -count:].flip(1)
    found = basis @ top
    # What the product adds to a vector lies outside the basis: one step of power iteration, for nothing.
    step = image @ top / values[-count:].flip(0).clamp(min=torch.finfo(values.dtype).tiny)
    small = (step - found).norm(dim=0) < 0.1
    v = orthonormal(torch.where(small, step, found)).T
    largest = v.gather(1, v.abs().argmax(1, keepdim=True))
    signed: Tensor = v * torch.where(largest < 0, -1.0, 1.0)
    return signed.contiguous()


def _exact(matrix: CrossCovariance, sought: int) -> Float[Tensor, "train sought"]:
    basis = matrix.span()
    _, vectors = torch.linalg.eigh(basis.T @ matrix(basis))
    kept: Tensor = basis @ vectors[:, -sought:]
    if kept.shape[1] == sought:
        return kept
    # Fewer rows than vectors: the rest belong to the eigenvalue zero.
    rest = torch.eye(len(basis), dtype=basis.dtype, device=basis.device)[:, : sought - kept.shape[1]]
    return torch.cat([kept, rest], 1)


def _krylov(matrix: CrossCovariance, count: int, sought: int) -> Float[Tensor, "train sought"]:
    train, kind, device = matrix.x.shape[1], matrix.x.dtype, matrix.x.device
    generator = torch.Generator().manual_seed(0)
    block = orthonormal(torch.randn(train, sought, generator=generator, dtype=kind).to(device))
    basis, image = block, matrix(block)
    while True:
        form = basis.T @ image
        values, vectors = torch.linalg.eigh((form + form.T) / 2)
        top = vectors[:, -count:]
        left = (image @ top - (basis @ top) * values[-count:]).norm(dim=0).amax()
        if left <= CONVERGED * values[-1] or basis.shape[1] + sought > min(train, BLOCKS * sought):
            found: Tensor = basis @ vectors[:, -sought:]
            return found
        block = image[:, -sought:]
        for _ in range(2):
            block = orthonormal(block - basis @ (basis.T @ block))
        basis, image = torch.cat([basis, block], 1), torch.cat([image, matrix(block)], 1)
