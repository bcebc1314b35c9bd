"""The point at which a training is differentiated: a weight on every example."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from modeldiff_core.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Point:
    """Weights: `weight` on the members, 0 on all other examples.

    A training at a point takes the members in batches of ``batch_size/weight`` and divides a batch's weighted sum of
    losses by ``weight·(number of its examples)``, so that it has as many steps, of the same size, as a training on a
    random subset that leaves in the share `weight` of the members.

    Attributes:
        members: Positions of the examples that are trained on, ascending.
        weight: Their weight, above 0 and at most 1.
        train: Number of training examples.

    """

    members: Int[np.ndarray, " members"]
    weight: float
    train: int

    def __post_init__(self) -> None:
        if not len(self.members):
            raise ConfigError("masks", "one example or more", [])
        if not 0 < self.weight <= 1:
            raise ConfigError("subsets.fraction", "above 0 and at most 1", self.weight)

    @classmethod
    def everywhere(cls, train: int, fraction: float) -> "Point":
        """Return the mean of all masks that leave in this share of the examples: every one at weight `fraction`."""
        return cls(np.arange(train), fraction, train)

    @classmethod
    def subset(cls, mask: Bool[np.ndarray, " train"]) -> "Point":
        """Return a mask itself: weight 1 on what it leaves in."""
        return cls(np.flatnonzero(mask), 1.0, len(mask))

    def weights(self) -> Float[np.ndarray, " train"]:
        """Return the weight of every example."""
        weights = np.zeros(self.train)
        weights[self.members] = self.weight
        return weights

    def batches(self, batch_size: int) -> list[slice]:
        """Return the places of each batch in an epoch's order of the members."""
        examples = max(1, round(batch_size / self.weight))
        return [slice(at, min(at + examples, len(self.members))) for at in range(0, len(self.members), examples)]
