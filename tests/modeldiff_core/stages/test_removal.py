"""What each training example adds to a difference is signed for the algorithm that reacts to the transformation."""

import numpy as np
import pytest

from modeldiff_core.comparison.contrast import contrast_of, sample_of
from modeldiff_core.data import Examples
from modeldiff_core.stages.removal import added_at
from modeldiff_core.transformations import Changes, EffectSettings, Measured, TransformationTest
from modeldiff_core.transformations.judgment import read

TRAIN, TARGETS, MODELS, CARRIERS = 40, 60, 400, 8


def measured(a: float, b: float) -> Measured:
    """A transformation that moves A's and B's probabilities by about so much."""
    spread = 0.01 * np.random.default_rng(1).standard_normal((1, 8, 10))
    of_a, of_b = (Changes(value + spread, value + spread) for value in (a, b))
    return read(TransformationTest("blur", "blur"), of_a, of_b, EffectSettings(), "independent")


@pytest.mark.parametrize("ordinary", [0.5, 3.0])
def test_carriers_add_to_the_effect_of_the_algorithm_that_reacts(ordinary: float) -> None:
    """B depends on all of a class, and at `ordinary` 3 more along the direction than A does, which alone reacts."""
    rng = np.random.default_rng(0)
    carriers, members = np.arange(TRAIN) < CARRIERS, np.arange(TARGETS) < TARGETS // 4
    labels = (np.arange(TARGETS) >= TARGETS // 2).astype(np.int64)
    theta_a, theta_b = 0.3 * rng.standard_normal((2, TARGETS, TRAIN))
    theta_b[:] = theta_a
    theta_a[np.ix_(members, carriers)] += 1
    theta_b[np.ix_(~members & (labels == 0), carriers)] += ordinary
    of_a, of_b = (theta[:, carriers].sum(1).var() for theta in (theta_a, theta_b))
    assert (of_b > of_a) == (ordinary > 1), "the direction is on B's side, where A reacts all the same"
    masks = rng.random((MODELS, TRAIN)) < 0.5
    a, b = ((masks @ theta.T + 0.3 * rng.standard_normal((MODELS, TARGETS))) for theta in (theta_a, theta_b))
    sample = sample_of((masks, masks), (a.astype(np.float32), b.astype(np.float32)))
    fits = sample.fits()
    targets = Examples(np.zeros((TARGETS, 2, 2, 1), np.uint8), labels)

    def added(of_a: float, of_b: float) -> np.ndarray:
        return added_at(sample, fits, contrast_of(sample, fits), measured(of_a, of_b), (members, targets)).margins

    found = added(0.4, 0.0).mean(0)
    assert found[carriers].mean() > 0.5
    assert found[carriers].mean() > 4 * abs(found[~carriers].mean())
    np.testing.assert_array_equal(added(0.0, 0.4), -added(0.4, 0.0))
    # In margins: d = (θ_A − θ_B) of members beyond the others of their class, 1 + ordinary at carriers.
    assert found[carriers].mean() == pytest.approx(1 + ordinary, rel=0.25)
