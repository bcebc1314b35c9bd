"""A common basis of the training directions that matter to any of some trainings, found without any matrix.

A randomized range finder (Halko et al., 2011): reverse products of random weightings of the targets span what the
trainings' Jacobians have in common. Where directions are tested with whole trainings as replicates, the basis must not
know which training belongs to which side: products are summed over all trainings of both, or come from trainings that
the test does not use. A basis from each side's own range holds the noise of this very split; it finds differences
with the fewest products, and nothing can be tested in it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.errors import ConfigError


@dataclass(frozen=True)
class Basis:
    """Orthonormal directions over the training set.

    Attributes:
        vectors: The directions, the one with the largest share first.
        shares: Share of the pooled products' sum of squares along each.
        missed: Share of the sum of squares of products that did not make the basis outside of it: what the basis misses
            of a random weighting of the targets, 0 to 1.

    """

    vectors: Float[Tensor, "train q"]
    shares: Float[Tensor, " q"]
    missed: float


def random_weightings(count: int, targets: int, seed: int) -> Float[Tensor, "probes targets"]:
    """Return independent normal weightings of the targets, centered over them; a function of its arguments alone.

    Centered weightings see what sets targets apart, as centered principal components do.
    """
    draws = torch.randn(count, targets, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return draws - draws.mean(1, keepdim=True)


def common_basis(
    pooled: Float[Tensor, "probes train"], held_out: Float[Tensor, "more_probes train"], tolerance: float = 0.0
) -> Basis:
    """Return the leading directions of the products, as few as leave at most `tolerance` of their sum of squares.

    Args:
        pooled: Reverse products of random weightings, each summed over some trainings.
        held_out: The same of other weightings, which only measure what is missed.
        tolerance: Share of the products' sum of squares that may be left out, 0 for none.

    Raises:
        ConfigError: If all products are zero or some are not finite.

    """
    if not pooled.isfinite().all() or not pooled.any():
        raise ConfigError(
            "comparison.method",
            "trainings whose outputs depend on their examples",
            "products that are zero or not finite",
            "Lower recipe.learning_rate",
        )
    _, values, rows = torch.linalg.svd(pooled.double(), full_matrices=False)
    shares = values.square() / values.square().sum()
    rest = 1 - shares.cumsum(0)
    enough = int((rest > max(tolerance, torch.finfo(torch.float64).eps * len(rest))).sum()) + 1
    vectors = rows[: min(enough, len(rows))].T
    whole = held_out.double().square().sum()
    inside = (held_out.double() @ vectors).square().sum()
    missed = float(1 - inside / whole) if whole > 0 else 0.0
    return Basis(vectors.to(pooled.dtype), shares[: vectors.shape[1]].to(pooled.dtype), missed)


def missed_by_others(pooled: Float[np.ndarray, "probes train"]) -> float:
    """Return the share of a product's squared length that lies outside of the span of all others, 0 to 1.

    Σ_i d_i² / Σ_i ‖x_i‖² with d_i the distance of product x_i to the span of the others, d_i² = 1/(G⁻¹)_ii for G the
    matrix of their inner products: what a basis of one product fewer misses of a new one. It takes no further product.
    """
    inner = pooled.astype(np.float64) @ pooled.astype(np.float64).T
    whole = float(np.trace(inner))
    if whole <= 0:
        return 0.0
    inner += np.eye(len(inner)) * whole * np.finfo(np.float64).eps
    return float(np.clip((1 / np.diag(np.linalg.inv(inner))).sum() / whole, 0, 1))
