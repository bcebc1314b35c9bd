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
    """

    side: str
    targets: frozenset[int]
    train: frozenset[int]
    moved_by: frozenset[str] = frozenset()

    def alike(self, other: "Traits") -> bool:
        """Return whether a transformation moves both, or both are of one side and share half of images or examples.

        What one transformation explains is one difference on either side: an algorithm that uses a cue relies less on
        what the other uses in its place.
        """
        if self.moved_by & other.moved_by:
            return True
        near = max(common(self.targets, other.targets), common(self.train, other.train))
        return self.side == other.side and near >= SHARED


def common(one: frozenset[int], other: frozenset[int]) -> float:
    """Return the share of the smaller set that is in the other, too; 0 for an empty one."""
    smaller = min(len(one), len(other))
    return len(one & other) / smaller if smaller else 0.0


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
