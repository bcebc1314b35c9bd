"""Residual PCA: training directions that matter to A and not to B."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from modeldiff_core.comparison.residuals import check_attributions, normalised, residual
from modeldiff_core.errors import ConfigError

EXACT_TARGETS = 3000
"""Up to this many targets (or training examples) the eigenproblem of the smaller Gram matrix is solved exactly."""


@dataclass(frozen=True)
class ResidualPCA:
    """Principal directions of residual datamodels, by decreasing variance of the residuals.

    directions: unit vectors. projections: of the residual datamodels (not centred) on them. explained_variance_a,
    explained_variance_b: variance over targets of A's and of B's row-normalised datamodels along each direction, as
    a share of at most 1.
    """

    directions: Float[np.ndarray, "components train"]
    projections: Float[np.ndarray, "targets components"]
    explained_variance_a: Float[np.ndarray, " components"]
    explained_variance_b: Float[np.ndarray, " components"]


def residual_pca(
    theta_a: Float[np.ndarray, "targets train"],
    theta_b: Float[np.ndarray, "targets train"],
    n_components: int,
    *,
    normalize: bool = True,
) -> ResidualPCA:
    """Centred PCA of the residuals of A's datamodels on B's (ModelDiff, section 3).

    normalize: rows to unit length first (the paper); without it, the public package's variant, in which targets
    with large weights count more. A direction's sign is fixed so that its largest entry is positive.

    Raises ConfigError for shapes that differ, values that are not finite, or more components than targets.
    """
    check_attributions(theta_a, theta_b)
    limit = min(len(theta_a) - 1, theta_a.shape[1])
    if not 1 <= n_components <= limit:
        raise ConfigError("comparison.components", f"between 1 and {limit} for these targets", n_components)
    a = normalised(theta_a) if normalize else theta_a
    b = normalised(theta_b) if normalize else theta_b
    difference = residual(a, b)
    directions = principal_directions(difference, n_components)
    return ResidualPCA(
        directions,
        difference @ directions.T,
        variance_along(theta_a, directions),
        variance_along(theta_b, directions),
    )


def principal_directions(
    rows: Float[np.ndarray, "targets train"], n_components: int
) -> Float[np.ndarray, "components train"]:
    """Unit directions of largest variance of the rows around their mean, by the smaller of the two Gram matrices.

    Above EXACT_TARGETS a randomised subspace iteration (Halko et al. 2011; 6 passes, 20 extra directions) from a
    fixed start.
    """
    x = torch.from_numpy(rows - rows.mean(0))
    if min(x.shape) > EXACT_TARGETS:
        generator = torch.Generator().manual_seed(0)
        basis = torch.randn(x.shape[1], n_components + 20, generator=generator, dtype=x.dtype)
        for _ in range(6):
            basis = torch.linalg.qr(x.T @ (x @ basis)).Q
        _, _, small = torch.linalg.svd(x @ basis, full_matrices=False)
        v = (small @ basis.T)[:n_components]
    elif x.shape[0] <= x.shape[1]:
        _, vectors = torch.linalg.eigh(x @ x.T)
        v = vectors[:, -n_components:].flip(1).T @ x
    else:
        _, vectors = torch.linalg.eigh(x.T @ x)
        v = vectors[:, -n_components:].flip(1).T
    v = v / v.norm(dim=1, keepdim=True).clamp(min=torch.finfo(v.dtype).tiny)
    largest = v.gather(1, v.abs().argmax(1, keepdim=True))
    return np.asarray((v * torch.where(largest < 0, -1.0, 1.0)).contiguous().numpy())


def variance_along(
    theta: Float[np.ndarray, "targets train"], directions: Float[np.ndarray, "components train"]
) -> Float[np.ndarray, " components"]:
    """Variance over targets of row-normalised datamodels projected on each direction."""
    return np.asarray((normalised(theta) @ directions.T).var(0))
