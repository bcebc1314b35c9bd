"""Cues: what a planted feature does to the images that carry it.

Each is a frozen dataclass distinguished by `kind`, and a pure function of one image's bytes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from modeldiff_core.errors import Check
from modeldiff_core.images import Block, Images, add, diagonal_stripes, fill_block, shift_all, to_pixels, wave

require = Check("dataset.plant.cue")


@dataclass(frozen=True)
class Bar:
    """A bar over the whole width: `height` rows from `top` on are set to `level` (0..255)."""

    top: int
    height: int = 1
    level: int = 160
    kind: Literal["bar"] = "bar"

    def __post_init__(self) -> None:
        require(self.height >= 1 and 0 <= self.level <= 255, "", "a height of 1 or more and a level in 0..255", self)

    def stamp(self, images: Images) -> Images:
        """Copies of the images with the bar."""
        rows, columns = images.shape[1:3]
        require(0 <= self.top <= rows - self.height, "top", f"a bar inside {rows} rows", self.top)
        return fill_block(images, Block(self.top, 0, self.height, columns), self.level)


@dataclass(frozen=True)
class Tint:
    """Adds `amount` (−255..255) to each channel and clips: a color on three channels, brightness on one."""

    amount: tuple[int, ...]
    kind: Literal["tint"] = "tint"

    def __post_init__(self) -> None:
        require(any(self.amount), "amount", "an amount a channel, not all of them 0", list(self.amount))

    def stamp(self, images: Images) -> Images:
        """Tinted copies of the images."""
        channels = images.shape[-1]
        require(len(self.amount) == channels, "amount", f"{channels} numbers, one a channel", list(self.amount))
        return add(images, np.array(self.amount, float))


@dataclass(frozen=True)
class Texture:
    """Diagonal stripes on the object: pixels are darkened by `depth` where (row + column) mod `period` < period/2."""

    period: int = 4
    depth: float = 0.7
    kind: Literal["texture"] = "texture"

    def __post_init__(self) -> None:
        require(self.period >= 2 and 0 < self.depth <= 1, "", "a period of 2 or more and a depth in (0, 1]", self)

    def stamp(self, images: Images) -> Images:
        """Copies of the images with stripes where they are not black."""
        height, width = images.shape[1:3]
        dark = diagonal_stripes(height, width, self.period)
        return to_pixels(images * (1 - self.depth * dark[None, :, :, None]))


@dataclass(frozen=True)
class Wave:
    """Adds amplitude·cos(2π·(down·row + across·column)) to all pixels; frequencies in cycles a pixel, at most ½."""

    down: float = 0.5
    across: float = 0.5
    amplitude: float = 50.0
    kind: Literal["wave"] = "wave"

    def __post_init__(self) -> None:
        within = 0 <= self.down <= 0.5 and 0 <= self.across <= 0.5 and self.amplitude > 0
        require(within, "", "frequencies in [0, 0.5] and an amplitude above 0", self)

    def stamp(self, images: Images) -> Images:
        """Copies of the images with the wave added."""
        height, width = images.shape[1:3]
        return add(images, self.amplitude * wave(height, width, self.down, self.across)[None, :, :, None])


@dataclass(frozen=True)
class Shift:
    """Moves the image by whole pixels, down and to the right (negative: up, left); black moves in."""

    down: int = 0
    right: int = 0
    kind: Literal["shift"] = "shift"

    def __post_init__(self) -> None:
        require(bool(self.down or self.right), "", "a shift of at least one pixel", self)

    def stamp(self, images: Images) -> Images:
        """Shifted copies of the images."""
        height, width = images.shape[1:3]
        require(abs(self.down) < height and abs(self.right) < width, "", f"a shift within {height}×{width}", self)
        return shift_all(images, self.down, self.right)


@dataclass(frozen=True)
class Background:
    """Sets what is darker than `below` to `level` (0..255)."""

    level: int = 90
    below: int = 20
    kind: Literal["background"] = "background"

    def __post_init__(self) -> None:
        require(0 < self.level <= 255 and 0 < self.below <= 255, "", "a level and a bound in 1..255", self)

    def stamp(self, images: Images) -> Images:
        """Copies of the images on another ground."""
        ground = (images < self.below).all(-1, keepdims=True)
        return np.where(ground, np.uint8(self.level), images)


@dataclass(frozen=True)
class Smear:
    """Replaces each pixel by the mean of the (2·radius + 1)² around it; at the edge, the nearest pixels repeat."""

    radius: int = 1
    kind: Literal["smear"] = "smear"

    def __post_init__(self) -> None:
        require(self.radius >= 1, "radius", "1 or more", self.radius)

    def stamp(self, images: Images) -> Images:
        """Blurred copies of the images."""
        r, (height, width) = self.radius, images.shape[1:3]
        padded = np.pad(images.astype(float), ((0, 0), (r, r), (r, r), (0, 0)), mode="edge")
        places = [(i, j) for i in range(2 * r + 1) for j in range(2 * r + 1)]
        return to_pixels(np.mean([padded[:, i : i + height, j : j + width] for i, j in places], axis=0))


@dataclass(frozen=True)
class Negative:
    """Blends the image with its negative: pixel + amount·(255 − 2·pixel)."""

    amount: float = 0.4
    kind: Literal["negative"] = "negative"

    def __post_init__(self) -> None:
        require(0 < self.amount <= 1, "amount", "a number in (0, 1]", self.amount)

    def stamp(self, images: Images) -> Images:
        """Copies of the images with the negative blended in."""
        return add(images, self.amount * (255.0 - 2.0 * images))


@dataclass(frozen=True)
class Turn:
    """Turns square images by `quarters` quarter turns, counter-clockwise."""

    quarters: Literal[1, 2, 3] = 1
    kind: Literal["turn"] = "turn"

    def stamp(self, images: Images) -> Images:
        """Turned copies of the images."""
        require(images.shape[1] == images.shape[2], "", "square images", list(images.shape[1:3]))
        return np.ascontiguousarray(np.rot90(images, self.quarters, axes=(1, 2)))


Cue = Bar | Tint | Texture | Wave | Shift | Background | Smear | Negative | Turn
"""Told apart by `kind`."""
