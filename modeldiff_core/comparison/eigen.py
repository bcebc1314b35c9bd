"""Leading eigenvectors of a covariance or cross-covariance over training examples, which is never formed.

Where the smaller side is small, or much of what it spans is asked for, the eigenproblem is solved in the span of the
rows, exactly. Else in a block Krylov subspace from a random start (Musco & Musco 2015), which for as many passes over
the rows comes closer than the subspace iteration of Halko et al. 2011: it keeps all blocks, not only the last. It grows
until the vectors are found: where noise makes eigenvalues that lie close together, a fixed number of blocks leaves the
last of them off by several percent. Either way the last product is in float64.
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
BLOCKS = 12
"""Most blocks of a Krylov subspace; then it starts again from its leading vectors."""
KEPT = 3
"""Blocks' worth of leading vectors that it starts again from."""
ERROR = 3e-6
"""Part of a Krylov vector that may lie outside the sought eigenvectors, as far as what a product leaves of it tells."""
EQUAL = 3e-9
"""What a product may leave anyhow, relative to the largest eigenvalue: eigenvalues that lie closer count as equal."""
PRODUCTS = 100
"""Most products, for eigenvalues that are equal but for rounding."""


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
    small = min(rows, matrix.x.shape[1])
    exact = small <= max(EXACT_SIDE, (KEPT + 2) * sought)
    basis = _exact(matrix, sought) if exact else _krylov(matrix, count, sought)
    basis = orthonormal(basis.double())
    image = matrix(basis)
    values, rotation = torch.linalg.eigh(basis.T @ image)
    top = rotation[:, -count:].flip(1)
    found = basis @ top
    # What the product adds to a vector lies outside the basis: one step of power iteration, for nothing.
    step = image @ top / values[-count:].flip(0).clamp(min=torch.finfo(values.dtype).tiny)
    near = (step - found).norm(dim=0) < 0.1
    v = orthonormal(torch.where(near, step, found)).T
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
    """Orthonormal basis of a space that holds the `count` leading eigenvectors.

    With Q the basis, T = QᵀMQ and E the last block's columns of the identity, M·Q = Q·T + N·B·Eᵀ, N the next block
    (block Lanczos). So ‖B·Eᵀy‖ is what M leaves of the Ritz vector Q·y outside Q, without another product, and over the
    distance of its eigenvalue from the first one that is not sought it bounds the vector's error.
    """
    train, kind, device = matrix.x.shape[1], matrix.x.dtype, matrix.x.device
    most = min(train - sought, BLOCKS * sought)  # what is left must hold one more block
    generator = torch.Generator().manual_seed(0)
    block = orthonormal(torch.randn(train, sought, generator=generator, dtype=kind).to(device))
    basis, form, checked = block, torch.zeros(0, 0, dtype=kind, device=device), 0
    for product in range(1, PRODUCTS + 1):
        image = matrix(block)
        onto = basis.T @ image
        form = _bordered(form, onto)
        size, last = len(form), slice(len(form) - sought, None)
        left = image - basis @ onto
        block = left
        for _ in range(2):
            block = orthonormal(block - basis @ (basis.T @ block))
        full = size + sought > most
        # Eigenvectors of T each time that it has grown by a quarter, else they would cost more than the products.
        if full or size >= 1.25 * checked or product == PRODUCTS:
            checked = size
            values, vectors = torch.linalg.eigh(form.double())
            outside = ((block.T @ left).double() @ vectors[last, -count:]).norm(dim=0).amax()
            enough = torch.maximum(ERROR * (values[-count] - values[-sought]), EQUAL * values[-1])
            if outside <= enough or product == PRODUCTS:
                break
        if full:
            checked = KEPT * sought
            basis, form = basis @ vectors[:, -checked:].to(kind), torch.diag(values[-checked:]).to(kind)
        basis = torch.cat([basis, block], 1)
    found: Tensor = basis @ vectors[:, -sought:].to(kind)
    return found


def _bordered(form: Float[Tensor, "size size"], onto: Float[Tensor, "grown block"]) -> Float[Tensor, "grown grown"]:
    """Return a symmetric matrix with `onto` as its last columns and rows."""
    size = len(form)
    grown = torch.zeros(len(onto), len(onto), dtype=form.dtype, device=form.device)
    grown[:size, :size], grown[:, size:], grown[size:, :size] = form, onto, onto[:size].T
    grown[size:, size:] = (onto[size:] + onto[size:].T) / 2
    return grown
