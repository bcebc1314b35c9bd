"""Directions that are one difference: moved by one transformation, or of one side and with the same examples."""

from collections.abc import Sequence
from dataclasses import dataclass

SHARED = 0.5
"""Share of the smaller of two lists of examples that both must have in common."""


@dataclass(frozen=True)
class Traits:
    """What tells whether two directions are one difference.

    Attributes:
        side: The side that relies on it more.
        targets: Test examples at its ends.
        train: Training examples of the largest weights.
        moved_by: Confirmed transformations that were found along it.
        among: Test and training examples that there are; 0 where they are so many that lists share none by chance.
    """

    side: str
    targets: frozenset[int]
    train: frozenset[int]
    moved_by: frozenset[str] = frozenset()
    among: tuple[int, int] = (0, 0)

    def alike(self, other: "Traits") -> bool:
        """Return whether a transformation moves both, or both are of one side and share half of images or examples.

        What one transformation explains is one difference on either side: an algorithm that uses a cue relies less on
        what the other uses in its place.
        """
        if self.moved_by & other.moved_by:
            return True
        lists = ((self.targets, other.targets), (self.train, other.train))
        near = max(common(*pair, among) for pair, among in zip(lists, self.among, strict=True))
        return self.side == other.side and near >= SHARED


def common(one: frozenset[int], other: frozenset[int], among: int = 0) -> float:
    """Return the share of the smaller set that is in the other, too, beyond chance; 0 for an empty one.

    (share − chance)/(1 − chance), as Cohen's κ; of a random set the share |other|/among is in the other one.
    """
    smaller, larger = sorted((len(one), len(other)))
    if not smaller:
        return 0.0
    chance = larger / among if among > larger else 0.0
    return max(0.0, (len(one & other) / smaller - chance) / (1 - chance))


def grouped(traits: Sequence[Traits]) -> list[list[int]]:
    """Return the positions of directions by difference, the first direction of each first.

    Two belong together if they are alike or a chain of others is between them.
    """
    groups: list[list[int]] = []
    for at, one in enumerate(traits):
        near = [group for group in groups if any(traits[member].alike(one) for member in group)]
        merged = sorted([at, *(member for group in near for member in group)])
        groups = sorted([*(group for group in groups if group not in near), merged])
    return groups
