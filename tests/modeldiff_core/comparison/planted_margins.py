"""Margins of two algorithms that rely on the same examples, with a difference planted or none."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Planted:
    """Masks and margins of A and of B, margins without noise, and the unit direction that one of them knows alone."""

    masks: tuple[np.ndarray, np.ndarray]
    margins: tuple[np.ndarray, np.ndarray]
    expected: tuple[np.ndarray, np.ndarray]
    direction: np.ndarray


def masks_of(rng: np.random.Generator, models: int, train: int) -> np.ndarray:
    """Random halves of the training set."""
    return np.argsort(rng.random((models, train)), 1) < train // 2


def planted(
    seed: int,
    strength: float = 0.0,
    *,
    in_b: bool = False,
    noise_b: float = 1.0,
    spread: float = 0.0,
    paired: bool = True,
    shape: tuple[int, int, int] = (400, 60, 40),
) -> Planted:
    """Low rank and sparse datamodels, a block of examples that moves a tenth of the targets, and noise.

    noise_b: B's noise in units of A's. spread: deviation of log c_t. shape: models, training examples, targets.
    """
    models, train, targets = shape
    rng = np.random.default_rng([seed, 77])
    theta = rng.normal(size=(targets, 4)) @ rng.normal(size=(4, train)) + rng.normal(size=(targets, train))
    direction = np.zeros(train)
    direction[: train // 10] = 1 / np.sqrt(train // 10)
    block = np.zeros((targets, train))
    block[: targets // 10] = strength * np.sqrt(np.square(theta).sum(1).mean() * 10) * direction
    slopes = np.exp(spread * rng.normal(size=(targets, 1)))
    of_a, of_b = theta + (0 if in_b else block), (theta + (block if in_b else 0)) * slopes
    first = masks_of(rng, models, train)
    second = first if paired else masks_of(rng, models, train)
    deviation = np.sqrt(0.25 * np.square(theta).sum(1))
    expected = first @ of_a.T, second @ of_b.T
    a = expected[0] + deviation * rng.normal(size=(models, targets))
    b = expected[1] + noise_b * slopes[:, 0] * deviation * rng.normal(size=(models, targets))
    return Planted((first, second), (a.astype(np.float32), b.astype(np.float32)), expected, direction)
