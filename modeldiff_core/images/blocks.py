"""Rectangular parts of images that are the same in all of them."""

from dataclasses import dataclass

import numpy as np

from modeldiff_core.images.pixels import Images, blend


@dataclass(frozen=True)
class Block:
    """A block of an image: height × width pixels whose top left corner is at (top, left)."""

    top: int
    left: int
    height: int
    width: int

    @property
    def index(self) -> tuple[slice, slice, slice]:
        """Index of the block's pixels in images."""
        return slice(None), slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def inside(self, height: int, width: int) -> bool:
        """Return whether images of that size hold the whole block."""
        return min(self.top, self.left) >= 0 and self.top + self.height <= height and self.left + self.width <= width


def fill_block(images: Images, block: Block, filling: np.ndarray | int, share: float = 1.0) -> Images:
    """Return copies of the images in which the block is (1 − share)·block + share·filling; other pixels stay.

    filling: pixels 0..255 that are broadcast to the block, such as [height, width, channels], [channels] or one number.
    """
    out = images.copy()
    out[block.index] = blend(images[block.index], filling, share)
    return out
