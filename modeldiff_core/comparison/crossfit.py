"""Cross-fitting: variances of directions measured on models that did not choose them.

A direction fitted to datamodels is fitted to their estimation noise too, so on those models even algorithms that do
not differ seem to. Here the directions of one half of the models are measured on the other half, both ways.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from modeldiff_core.comparison.pca import Weights, find_directions, variance_along
from modeldiff_core.comparison.residuals import explained, normalized, residual
from modeldiff_core.comparison.subpopulations import shared_extremes

Halves = tuple[Weights, Weights]
"""One algorithm's datamodels from two disjoint halves of its models."""
Parts = tuple[tuple[Weights, ...], tuple[Weights, ...]]
"""What a direction of half 0 and of half 1 is found from: the half's datamodels, or those of its two quarters."""


@dataclass(frozen=True)
class CrossFit:
    """Cross-fitted variances of A and of B along each direction, and how well it is found again.

    versions: the direction from each half alone, with signs that agree. stability: the cosine between them.
    """

    variance_a: Float[np.ndarray, " components"]
    variance_b: Float[np.ndarray, " components"]
    versions: Float[np.ndarray, "2 components train"]

    @property
    def difference(self) -> Float[np.ndarray, " components"]:
        """Variance under A minus variance under B."""
        return np.asarray(self.variance_a - self.variance_b)

    @property
    def stability(self) -> Float[np.ndarray, " components"]:
        """Cosine of the versions from the two halves, 0 to 1."""
        return np.asarray(np.einsum("ij,ij->i", *self.versions))


def matched(
    reference: Float[np.ndarray, "components train"], found: Float[np.ndarray, "components train"]
) -> Int[np.ndarray, " components"]:
    """For each reference direction the index of its partner, one to one, by largest total |cosine|."""
    rows, columns = linear_sum_assignment(-np.abs(reference @ found.T))
    return np.asarray(columns[np.argsort(rows)])


def cross_fit(
    a: Halves,
    b: Halves,
    n_components: int,
    reference: Float[np.ndarray, "components train"] | None = None,
    *,
    parts: tuple[Parts, Parts] | None = None,
    normalize: bool = True,
) -> CrossFit:
    """Return the variance along directions from half h measured on half 1 − h, averaged over h.

    With v_k(h) direction k of half h and θ̂_t(1 − h) a row-normalized datamodel of the other half:
    variance_k = ½ Σ_h var_t ⟨θ̂_t(1 − h), v_k(h)⟩, for θ of A and of B.

    reference: directions (of all models) that each half's are matched to; without it the second half's are matched
    to the first's. parts: what A's and B's directions of each half are found from; without it the half itself.
    normalize: of the residuals; variances are always of row-normalized datamodels.
    """
    from_a, from_b = parts if parts is not None else (((a[0],), (a[1],)), ((b[0],), (b[1],)))
    found = [find_directions(from_a[h], from_b[h], n_components, normalize=normalize) for h in (0, 1)]
    base = found[0] if reference is None else reference
    versions = np.stack([found[h][matched(base, found[h])] for h in (0, 1)])
    versions[1] *= np.where(np.einsum("ij,ij->i", *versions) < 0, -1, 1)[:, None].astype(versions.dtype)
    variance = [np.mean([variance_along(theta[1 - h], versions[h]) for h in (0, 1)], axis=0) for theta in (a, b)]
    return CrossFit(variance[0], variance[1], versions)


def subpopulation_overlap(a: Halves, b: Halves, fit: CrossFit, count: int) -> Float[np.ndarray, " components"]:
    """Return the share of the `count` targets at each end of a direction that the other half's models put there too.

    With E(h) the targets at an end by half h's residuals on its own version of the direction: |E(0) ∩ E(1)|/count, the
    mean of both ends. By chance: count/targets.
    """
    kept = np.logical_and(*(explained(a[h], b[h]) for h in (0, 1)))
    projections = [residual(normalized(a[h][kept]), normalized(b[h][kept])) @ fit.versions[h].T for h in (0, 1)]
    return np.array([shared_extremes(x, y, count) for x, y in zip(projections[0].T, projections[1].T, strict=True)])
