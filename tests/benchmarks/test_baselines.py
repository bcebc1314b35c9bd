"""What the side-by-side benchmark computes by itself: the original package's residual PCA, and shares in common."""

import numpy as np
import pytest

from benchmarks.baselines import Directions, in_common, packaged_pca
from modeldiff_core.comparison import residual_pca

RNG = np.random.default_rng(0)


def test_the_packaged_way_is_our_unnormalized_residual_pca() -> None:
    """Two implementations of one formula: scikit-learn's PCA of plain residuals, and the platform's."""
    b = RNG.normal(size=(40, 12))
    a = b * RNG.uniform(0.5, 2, (40, 1)) + RNG.normal(size=(40, 12)) * np.geomspace(3, 0.1, 12)
    theirs, ours = packaged_pca(a, b), residual_pca(a, b, 3, normalize=False)
    cosines = np.abs(np.einsum("ij,ij->i", theirs.train, ours.directions))
    np.testing.assert_allclose(cosines, 1, atol=1e-6)
    centered = ours.projections - ours.projections.mean(0)
    np.testing.assert_allclose(np.abs(theirs.targets), np.abs(centered), atol=1e-6)
    unit = residual_pca(a, b, 3, normalize=True)
    assert np.abs(np.einsum("ij,ij->i", theirs.train, unit.directions)).min() < 0.99, "lengths of rows count"


def test_what_two_spans_have_in_common() -> None:
    q = np.linalg.qr(RNG.normal(size=(10, 5)))[0].T
    first, turned = (Directions(np.zeros((2, 3)), rows) for rows in (q[:3], RNG.normal(size=(3, 3)) @ q[:3]))
    assert in_common(first, turned) == pytest.approx(1)
    assert in_common(first, Directions(np.zeros((2, 3)), q[2:])) == pytest.approx(1 / 3)
