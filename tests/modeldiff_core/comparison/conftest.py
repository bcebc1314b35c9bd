"""Datamodels of two algorithms that share most of what they know, with a difference planted in A or none."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from modeldiff_core.comparison.crossfit import Halves


@dataclass(frozen=True)
class Planted:
    """Both algorithms' datamodels from each half of the models, and the unit direction that only A knows."""

    a: Halves
    b: Halves
    direction: np.ndarray


@pytest.fixture(scope="session")
def halves() -> Callable[..., Planted]:
    """θ = shared + strength · loadings · direction (in A alone) + estimation noise, independent in each half."""

    def make(
        seed: int, strength: float = 0.0, noise: float = 1.0, targets: int = 60, train: int = 80, rank: int = 5
    ) -> Planted:
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=(targets, rank)) @ rng.normal(size=(rank, train))
        direction = rng.normal(size=train)
        direction /= np.linalg.norm(direction)
        planted = strength * np.outer(rng.normal(size=targets), direction)

        def fit(theta: np.ndarray) -> np.ndarray:
            return (theta + noise * rng.normal(size=theta.shape)).astype(np.float32)

        return Planted((fit(shared + planted), fit(shared + planted)), (fit(shared), fit(shared)), direction)

    return make
