"""Random subsets of fixed size, each a pure function of (seed, model)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
        groups: A number for each column, equal for columns that are in a mask together or not at all; empty where every
            column is its own group. Groups are then taken in the order of their lowest columns, and those that do not
            fit are passed over, so that each mask has its full size.

    Raises:
        ConfigError: For a fraction that leaves nothing in or nothing out, or that whole groups do not fill.
    """

    n_train: int
    fraction: float
    seed: int
    groups: tuple[int, ...] = ()

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
            masks[row, self.taken(self.order(int(model)))] = True
        return masks

    def taken(self, order: Int[np.ndarray, " columns"]) -> Int[np.ndarray, " size"]:
        """Return the first `size` columns of an order, or as many in whole groups."""
        if not self.groups:
            return order[: self.size]
        # A group stands where its lowest column does: were it the first of them, large groups would be in more often.
        place = np.argsort(order)
        _, lowest, sizes = np.unique(self._numbers[order[place]], return_index=True, return_counts=True)
        _, which = np.unique(self._numbers[order], return_inverse=True)
        room, chosen = self.size, np.zeros(len(lowest), dtype=bool)
        for group in np.argsort(place[lowest]):
            if sizes[group] <= room:
                chosen[group] = True
                room -= sizes[group]
            if not room:
                return order[chosen[which]]
        raise ConfigError(
            "subsets.fraction",
            f"a share of {self.n_train} training examples that whole groups of copies fill",
            self.fraction,
            f"{room} of {self.size} places stay empty; dataset.duplicates=drop takes copies out instead",
        )

    @cached_property
    def _numbers(self) -> Int[np.ndarray, " train"]:
        return np.array(self.groups)

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
