"""Cross-fitting: variances of directions measured on models that did not choose them.

A direction fitted to datamodels is fitted to their estimation noise too, so on those models even algorithms that do
not differ seem to. Here the directions of one half of the models are measured on the other half, both ways.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from modeldiff_core.comparison.pca import principal_directions, variance_along
from modeldiff_core.comparison.residuals import normalised, residual

Halves = tuple[Float[np.ndarray, "targets train"], Float[np.ndarray, "targets train"]]
"""One algorithm's datamodels from two disjoint halves of its models."""


@dataclass(frozen=True)
class CrossFit:
    """Cross-fitted variances of A and of B along each direction, and how well it is found again.

    stability: |cosine| of the direction's versions from the two halves.
    """

    variance_a: Float[np.ndarray, " components"]
    variance_b: Float[np.ndarray, " components"]
    stability: Float[np.ndarray, " components"]

    @property
    def difference(self) -> Float[np.ndarray, " components"]:
        """Variance under A minus variance under B."""
        return np.asarray(self.variance_a - self.variance_b)


def half_directions(a: Halves, b: Halves, n_components: int) -> Float[np.ndarray, "2 components train"]:
    """Principal directions of the residuals of A on B, from each half alone."""
    return np.stack([principal_directions(residual(normalised(a[h]), normalised(b[h])), n_components) for h in (0, 1)])


def matched(
    reference: Float[np.ndarray, "components train"], found: Float[np.ndarray, "components train"]
) -> Int[np.ndarray, " components"]:
    """For each reference direction the index of its partner, one to one, by largest total |cosine|."""
    rows, columns = linear_sum_assignment(-np.abs(reference @ found.T))
    return np.asarray(columns[np.argsort(rows)])


def cross_fit(
    a: Halves, b: Halves, n_components: int, reference: Float[np.ndarray, "components train"] | None = None
) -> CrossFit:
    """Variance along directions from half h measured on half 1 − h, averaged over h.

    reference: directions (of all models) that each half's are matched to; without it the second half's are matched
    to the first's.
    """
    found = half_directions(a, b, n_components)
    base = found[0] if reference is None else reference
    versions = [found[h][matched(base, found[h])] for h in (0, 1)]
    variance = [np.mean([variance_along(theta[1 - h], versions[h]) for h in (0, 1)], axis=0) for theta in (a, b)]
    return CrossFit(variance[0], variance[1], np.abs(np.einsum("ij,ij->i", *versions)))
