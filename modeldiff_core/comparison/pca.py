"""Residual PCA: training directions that matter to A and not to B."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from modeldiff_core.comparison.eigen import CrossCovariance, leading_eigenvectors
from modeldiff_core.comparison.residuals import MODERATE, blocks, check_attributions, explained, moderate, residual_rows
from modeldiff_core.errors import ConfigError

Weights = Float[np.ndarray, "targets train"]
Other = Float[np.ndarray, "rows columns"]
"""Should have the shape of the first matrix, and an error names it if it does not."""


@dataclass(frozen=True)
class ResidualPCA:
    """Directions of residual datamodels, the most important first.

    directions: unit vectors. projections: of the residual datamodels (not centered) on them, 0 for excluded targets.
    explained_variance_a, explained_variance_b: variance over targets of A's and of B's row-normalized datamodels along
    each direction, as a share of at most 1. excluded: targets left out, whose datamodel under A or under B is all zero.
    """

    directions: Float[np.ndarray, "components train"]
    projections: Float[np.ndarray, "targets components"]
    explained_variance_a: Float[np.ndarray, " components"]
    explained_variance_b: Float[np.ndarray, " components"]
    excluded: Bool[np.ndarray, " targets"]


def residual_pca(
    theta_a: Weights, theta_b: Other, n_components: int, *, normalize: bool = True, device: str = "cpu"
) -> ResidualPCA:
    """Return the centered PCA of the residuals of A's datamodels on B's (ModelDiff, section 3).

    With R the rows θ_A − (⟨θ_A, θ_B⟩/‖θ_B‖²)·θ_B, each over its length, less their mean: the eigenvectors [components,
    train] of RᵀR of the largest eigenvalues.

    normalize: rows to unit length first (the paper); without it, the public package's variant, in which targets
    with large weights count more. device: of the arithmetic. The residuals are held there once; nothing of size
    train × train is, beyond eigen.EXACT_SIDE. A direction's sign is fixed so that its largest entry is positive.

    Raises ConfigError for shapes that differ, values that are not finite, or more components than targets that some
    training example explains under both.
    """
    return compare_parts((theta_a,), (theta_b,), n_components, normalize=normalize, device=device)


def residual_crossfit(
    theta_a: tuple[Weights, Weights],
    theta_b: tuple[Weights, Weights],
    n_components: int,
    *,
    normalize: bool = True,
    device: str = "cpu",
) -> ResidualPCA:
    """Return directions of the cross-covariance of two disjoint parts' residuals, in which estimation noise cancels.

    With R₁, R₂ the centered residuals from two disjoint parts of the models, the eigenvectors of (R₁ᵀR₂ + R₂ᵀR₁)/2 of
    the largest eigenvalues. In expectation that is PCA of the residuals without the noise that either part adds.
    Projections and variances are of the mean of both parts' row-normalized datamodels. Otherwise as residual_pca.
    """
    return compare_parts(theta_a, theta_b, n_components, normalize=normalize, device=device)


def compare_parts(
    parts_a: tuple[Weights, ...], parts_b: tuple[Other, ...], n_components: int, *, normalize: bool, device: str
) -> ResidualPCA:
    """Directions from the datamodels of one part of the models (PCA) or of two (their cross-covariance)."""
    for a, b in zip(parts_a, parts_b, strict=True):
        check_attributions(a, b)
    check_attributions(parts_a[0], parts_a[-1])
    kept = np.logical_and.reduce([explained(a, b) for a, b in zip(parts_a, parts_b, strict=True)])
    _check_components(n_components, int(kept.sum()), parts_a[0].shape)
    directions, own = _directions(parts_a, parts_b, n_components, kept, normalize=normalize, device=device)
    projections = np.zeros((len(kept), n_components), own.dtype)
    projections[kept] = own
    variances = [
        np.nan_to_num(np.mean([projected(theta, directions) for theta in parts], 0)[kept]).var(0)
        for parts in (parts_a, parts_b)
    ]
    return ResidualPCA(directions, projections, variances[0], variances[1], ~kept)


def find_directions(
    parts_a: tuple[Weights, ...], parts_b: tuple[Weights, ...], n_components: int, *, normalize: bool = True
) -> Float[np.ndarray, "components train"]:
    """Return the directions alone, of any number of targets; those that too few targets leave open are arbitrary."""
    kept = np.logical_and.reduce([explained(a, b) for a, b in zip(parts_a, parts_b, strict=True)])
    return _directions(parts_a, parts_b, n_components, kept, normalize=normalize, device="cpu")[0]


def variance_along(
    theta: Weights, directions: Float[np.ndarray, "components train"]
) -> Float[np.ndarray, " components"]:
    """Return var_t ⟨θ_t/‖θ_t‖, v_k⟩ for each direction v_k, over targets whose row is not zero; 0 where none is."""
    projections = projected(theta, directions)
    kept = ~np.isnan(projections[:, 0])
    return np.asarray(projections[kept].var(0) if kept.any() else np.zeros(len(directions), projections.dtype))


def projected(
    theta: Weights, directions: Float[np.ndarray, "components train"]
) -> Float[np.ndarray, "targets components"]:
    """Row-normalized datamodels projected on each direction; NaN for a row of zeros."""
    parts = []
    # Blocks bound the memory of a copy in another precision; without one, one product is the fastest.
    for rows in [slice(None)] if theta.dtype == directions.dtype else blocks(*theta.shape):
        part = moderate(theta[rows].astype(directions.dtype, copy=False))
        length = np.sqrt(np.einsum("ij,ij->i", part, part))
        parts.append((part @ directions.T) / np.where(length > 0, length, np.nan)[:, None].astype(part.dtype))
    return np.concatenate(parts)


def _directions(
    parts_a: tuple[Weights, ...],
    parts_b: tuple[Weights, ...],
    n_components: int,
    kept: Bool[np.ndarray, " targets"],
    *,
    normalize: bool,
    device: str,
) -> tuple[Float[np.ndarray, "components train"], Float[np.ndarray, "kept components"]]:
    """Directions, and the kept targets' mean projections on them before centring."""
    chosen = np.flatnonzero(kept)
    rows, means = [], []
    for a, b in zip(parts_a, parts_b, strict=True):
        rows.append(residual_rows(a, b, chosen, normalize=normalize, device=device))
        means.append(_mean(rows[-1]))
        rows[-1] -= means[-1]
    exponent = _exponent(rows)
    if abs(exponent) > MODERATE:  # products would overflow or vanish; a power of two rounds nothing
        rows, means = ([part * 2.0**-exponent for part in parts] for parts in (rows, means))
    directions = leading_eigenvectors(CrossCovariance(rows[0], rows[-1]), n_components).to(rows[0].dtype)
    own = torch.stack([x @ directions.T + mean @ directions.T for x, mean in zip(rows, means, strict=True)]).mean(0)
    if abs(exponent) > MODERATE:
        own = own * 2.0**exponent
    return directions.cpu().numpy(), own.cpu().numpy()


def _exponent(parts: list[Float[Tensor, "kept train"]]) -> int:
    """Return the exponent of two of the largest entry of all parts; 0 where all are zero."""
    largest = max((float(part.abs().max()) for part in parts if part.numel()), default=0.0)
    return int(np.frexp(largest)[1])


def _mean(rows: Float[Tensor, "kept train"]) -> Float[Tensor, " train"]:
    """Mean over rows, summed in float64 by blocks: at once torch would make a float64 copy of all of them."""
    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    for part in blocks(*rows.shape):
        total += rows[part].sum(0, dtype=torch.float64)
    mean: Tensor = total.div_(max(1, len(rows))).to(rows.dtype)
    return mean


def _check_components(n_components: int, kept: int, shape: tuple[int, ...]) -> None:
    """Raise ConfigError for more components than the kept targets around their mean, or the training examples, span."""
    limit = min(kept - 1, shape[1])
    if 1 <= n_components <= limit:
        return
    left_out = f" ({shape[0] - kept} of {shape[0]} have datamodels of zeros alone)" if kept < shape[0] else ""
    if limit < 1:
        raise ConfigError("targets", f"two or more whose datamodels are not all zeros{left_out}", kept)
    raise ConfigError("comparison.components", f"between 1 and {limit} for these targets{left_out}", n_components)
