"""Random subsets of fixed size, each a pure function of (seed, model)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator


@dataclass(frozen=True)
class SubsetSampler:
    """A sampler that draws S_i uniformly among the subsets of size round(fraction · n_train) (Datamodels, section 2).

    Attributes:
        n_train: Number of columns of a mask.
        fraction: Share of them that is left in, in (0, 1).
        seed: Seed of the subsets.

    Raises:
        ConfigError: For a fraction that leaves nothing in or nothing out.
    """

    n_train: int
    fraction: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise ConfigError("subsets.fraction", "a number in (0, 1)", self.fraction)
        if not 0 < self.size < self.n_train:
            raise ConfigError(
                "subsets.fraction",
                f"a share that leaves some of {self.n_train} training examples in and some out",
                self.fraction,
            )

    @property
    def size(self) -> int:
        """Training examples in each subset."""
        return round(self.fraction * self.n_train)

    def masks(self, models: Sequence[int] | range | Int[np.ndarray, " models"]) -> Bool[np.ndarray, "models train"]:
        """Return masks of the given models; row r is the mask of model ``models[r]`` whatever the other rows are."""
        masks = np.zeros((len(models), self.n_train), dtype=bool)
        for row, model in enumerate(models):
            masks[row, self.order(int(model))[: self.size]] = True
        return masks

    def order(self, model: int) -> Int[np.ndarray, " train"]:
        """Return the model's random order of all training examples; its subset is the first `size` of them."""
        return generator("mask", self.seed, model).permutation(self.n_train)


def probability_of_missing_a_class(
    labels: Int[np.ndarray, " train"], n_classes: int, subset_size: int, n_models: int
) -> tuple[float, int]:
    """Return an upper bound on the probability that some model sees no example of some class, and the rarest class.

    For a class of c among n examples and subsets of size s the probability is C(n-c, s)/C(n, s) per model, summed over
    classes and models (union bound).

    Args:
        labels: Class of every training example.
        n_classes: Number of classes.
        subset_size: Training examples in each subset, s.
        n_models: Number of models.
    """
    n = len(labels)
    counts = np.bincount(labels, minlength=n_classes)

    def log_choose(a: int, b: int) -> float:
        return math.lgamma(a + 1) - math.lgamma(b + 1) - math.lgamma(a - b + 1) if 0 <= b <= a else -math.inf

    total = log_choose(n, subset_size)
    chance = sum(math.exp(log_choose(n - int(c), subset_size) - total) for c in counts)
    return min(1.0, n_models * chance), int(counts.argmin())
