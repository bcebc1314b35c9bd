"""How alike two networks' representations of the same images are, and what one holds that the other does not.

Baselines beside datamodels: similarity is one number and names no feature; residual representations name directions
over features of one network.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from modeldiff_core.errors import ConfigError

First = Float[np.ndarray, "images features_a"]
Second = Float[np.ndarray, "rows features_b"]
"""Should have a row for each image of the first, and an error names it if it does not."""
RANK = 1e-9
"""Directions shorter than this share of the longest are none."""


def linear_cka(a: First, b: Second) -> float:
    """Return the linear centered kernel alignment, ‖BᵀA‖²/(‖AᵀA‖·‖BᵀB‖) with columns centered over images.

    In 0..1; 1 if one is the other turned, shifted and scaled (Kornblith et al., 2019, section 3). 0 where one of them
    is the same for all images.

    Raises:
        ConfigError: For representations of other images, or fewer than two.
    """
    x, y = _centered(a, b)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / scale) if scale > 0 else 0.0


def canonical_correlations(a: First, b: Second) -> Float[np.ndarray, " components"]:
    """Return the canonical correlations of two representations, the largest first.

    They are the singular values of Q_AᵀQ_B, with orthonormal bases of the centered columns; as many as the smaller of
    both ranks (Hotelling, 1936; of representations Raghu et al., 2017). Any invertible linear map of either changes
    none. With fewer images than features of both together some are 1 whatever the networks do.

    Raises:
        ConfigError: For representations of other images, or fewer than two.
    """
    x, y = (_basis(part) for part in _centered(a, b))
    return np.clip(np.linalg.svd(x.T @ y, compute_uv=False), 0.0, 1.0)


def mean_cca(a: First, b: Second) -> float:
    """Return Σ ρ²/min(features of A, features of B), the mean squared canonical correlation; 0 where there is none.

    ρ: `canonical_correlations` (R²_CCA of Kornblith et al., 2019, table 1).
    """
    return float(np.square(canonical_correlations(a, b)).sum() / min(a.shape[1], b.shape[1]))


@dataclass(frozen=True)
class ResidualRepresentation:
    """Directions of what A's representation holds that a linear map of B's does not give.

    Attributes:
        directions: Unit vectors over A's features, those of most residual variance first.
        projections: Residuals of the images on them, each image's from a map that it had no part in.
        unexplained: Share of A's variance over images that the maps leave.
    """

    directions: Float[np.ndarray, "components features_a"]
    projections: Float[np.ndarray, "images components"]
    unexplained: float


def residual_representation(
    a: First, b: Second, components: int, *, ridge: float = 1e-3, folds: int = 5, seed: int = 0
) -> ResidualRepresentation:
    """Return the leading directions of R = A − B·W, centered PCA of what is left after the best linear map W.

    Representations of two networks have no common axes, so that B's are first mapped to A's by ridge regression with
    an intercept, W = (BᵀB + ridge·tr(BᵀB)/features_b·I)⁻¹BᵀA; each of `folds` parts of the images is left out of the
    map that gives its own residuals.

    Raises:
        ConfigError: For representations of other images, more components than A has features, or too few images.
    """
    _centered(a, b)
    if not 1 <= components <= min(a.shape[1], len(a) - 1):
        raise ConfigError("components", f"1 to {min(a.shape[1], len(a) - 1)}", components)
    if not 2 <= folds <= len(a):
        raise ConfigError("folds", f"2 to {len(a)}, the images", folds)
    part = np.random.default_rng(seed).permutation(len(a)) % folds
    residuals = np.empty(a.shape, np.float64)
    for fold in range(folds):
        residuals[part == fold] = _left(a, b, np.flatnonzero(part != fold), np.flatnonzero(part == fold), ridge)
    centered = residuals - residuals.mean(0)
    directions = np.linalg.svd(centered, full_matrices=False)[2][:components]
    whole = np.square(a - a.mean(0, dtype=np.float64)).sum()
    unexplained = float(np.square(centered).sum() / whole) if whole > 0 else 0.0
    return ResidualRepresentation(directions, residuals @ directions.T, unexplained)


def _left(
    a: First, b: Second, fitted: Int[np.ndarray, " fitted"], others: Int[np.ndarray, " others"], ridge: float
) -> Float[np.ndarray, "others features_a"]:
    """Return what a map fitted on some images leaves of others."""
    mean_a, mean_b = a[fitted].mean(0, dtype=np.float64), b[fitted].mean(0, dtype=np.float64)
    x = b[fitted] - mean_b
    gram = x.T @ x
    penalty = max(ridge * float(np.trace(gram)) / len(gram), np.finfo(np.float64).tiny)
    weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), x.T @ (a[fitted] - mean_a))
    return np.asarray(a[others] - mean_a - (b[others] - mean_b) @ weights)


def _centered(a: First, b: np.ndarray) -> tuple[Float[np.ndarray, "images _"], Float[np.ndarray, "images _"]]:
    """Return both in float64 without their means over images."""
    if len(a) != len(b) or len(a) < 2:
        raise ConfigError("representations", f"of the same {len(a)} images as the first, two or more", len(b))
    x, y = (part - part.mean(0, dtype=np.float64) for part in (a, b))
    return x, y


def _basis(x: Float[np.ndarray, "images features"]) -> Float[np.ndarray, "images rank"]:
    """Return orthonormal columns that span those of x."""
    vectors, lengths, _ = np.linalg.svd(x, full_matrices=False)
    return np.asarray(vectors[:, lengths > RANK * max(lengths.max(initial=0.0), np.finfo(np.float64).tiny)])
