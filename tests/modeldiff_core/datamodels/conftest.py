"""Regression problems with known weights, and masks as the subset design draws them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from modeldiff_core.subsets import SubsetSampler


@dataclass(frozen=True)
class Problem:
    """Margins that are linear in the masks but for Gaussian noise."""

    masks: np.ndarray
    margins: np.ndarray
    weights: np.ndarray
    bias: np.ndarray


@pytest.fixture(scope="session")
def planted() -> Callable[..., Problem]:
    """A problem with a share of weights that are not zero, noise in units of the signal's deviation."""

    def make(
        models: int,
        train: int,
        fraction: float = 0.5,
        targets: int = 3,
        dense: float = 0.1,
        noise: float = 0.5,
        seed: int = 0,
    ) -> Problem:
        rng = np.random.default_rng(seed)
        masks = SubsetSampler(train, fraction, seed).masks(range(models))
        weights = np.where(rng.random((targets, train)) < dense, rng.normal(size=(targets, train)), 0)
        weights[:, 0] += 1
        bias = rng.normal(scale=3, size=targets)
        signal = masks @ weights.T
        margins = signal + bias + noise * signal.std() * rng.normal(size=signal.shape)
        return Problem(masks, margins.astype(np.float32), weights, bias)

    return make


@pytest.fixture(scope="session")
def awkward() -> Callable[[np.ndarray], np.ndarray]:
    """Masks in which examples 0, 1 and 2 are duplicates, 3 is in all subsets and 4 in none."""

    def make(masks: np.ndarray) -> np.ndarray:
        changed = masks.copy()
        changed[:, 1] = changed[:, 2] = changed[:, 0]
        changed[:, 3], changed[:, 4] = True, False
        return changed

    return make
