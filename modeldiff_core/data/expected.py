"""How large a published dataset is, for sources that can say so before there is any file."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Expected:
    """The size of a dataset: training examples, height, width and channels of its images, and classes."""

    train: int
    image_shape: tuple[int, int, int]
    classes: int


@runtime_checkable
class Announced(Protocol):
    """A source of published files, whose size is known."""

    def expected(self) -> Expected:
        """Return what ``load`` gives if the folder holds all published files."""
        ...
