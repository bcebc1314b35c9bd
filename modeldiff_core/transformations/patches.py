"""Transformations that put something onto the image, or onto a block of it."""

from dataclasses import dataclass

import numpy as np

from modeldiff_core.data import Watermark
from modeldiff_core.errors import ConfigError
from modeldiff_core.images import Images, add, blend, color_luminance, fill_block
from modeldiff_core.transformations.pixels import Bounded, Opacity, PixelValue, Place, Region, require

Pixel = int | tuple[int, int, int]
"""One value for all channels, or red, green and blue; 0..255."""


def require_color(field: str, value: Pixel) -> None:
    """Raise ConfigError unless every part of the field is a pixel value."""
    for part in (value,) if isinstance(value, int) else value:
        require(0 <= part <= 255, field, "a pixel value in [0, 255]", part)


def check_color(value: Pixel, image_shape: tuple[int, int, int]) -> None:
    """Raise ConfigError for red, green and blue on images that do not have them."""
    if not isinstance(value, int) and image_shape[2] != 3:
        raise ConfigError("transformations", f"one value for images of {image_shape[2]} channel(s)", value)


@dataclass(frozen=True)
class WatermarkPatch(Region):
    """Blends the planted checkerboard (``data.Watermark``) into a block; pasted whole at full intensity."""

    def __call__(self, images: Images, intensity: float) -> Images:
        pattern = Watermark(self.top, self.left, self.height, self.width).pattern()
        return fill_block(images, self, pattern[None, :, :, None], intensity)


@dataclass(frozen=True)
class Patch(Region):
    """Blends a block of one color in; value: 0..255 for all channels, or red, green and blue."""

    value: Pixel = 255

    def __post_init__(self) -> None:
        super().__post_init__()
        require_color("value", self.value)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        super().check(image_shape)
        check_color(self.value, image_shape)

    def __call__(self, images: Images, intensity: float) -> Images:
        return fill_block(images, self, np.asarray(self.value), intensity)


@dataclass(frozen=True)
class Stamp(Bounded):
    """Blends a small picture in with its top left corner at (top, left); pasted whole at full intensity.

    pixels: rows of pixels, each one value for all channels or red, green and blue. The search proposes what the images
    of a subpopulation have at one place in this form, so that it can be written into a configuration.
    """

    top: Place
    left: Place
    pixels: tuple[tuple[Pixel, ...], ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        widths = {len(row) for row in self.pixels}
        require(len(widths) == 1 and 0 not in widths, "pixels", "rows of equal length, at least one pixel", self.pixels)
        for row in self.pixels:
            for pixel in row:
                require_color("pixels", pixel)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        Region(self.top, self.left, len(self.pixels), len(self.pixels[0])).check(image_shape)
        for row in self.pixels:
            for pixel in row:
                check_color(pixel, image_shape)

    def __call__(self, images: Images, intensity: float) -> Images:
        values = [
            [(pixel,) * images.shape[3] if isinstance(pixel, int) else pixel for pixel in row] for row in self.pixels
        ]
        region = Region(self.top, self.left, len(self.pixels), len(self.pixels[0]))
        return fill_block(images, region, np.array(values), intensity)


Change = int | tuple[int, int, int]
"""What is added to all channels, or to red, green and blue; −255..255."""


@dataclass(frozen=True)
class Overlay:
    """Adds a small picture of changes, enlarged to the whole image cell by cell, and clips: x + s·D.

    cells: rows of changes, each one value for all channels or red, green and blue. The search proposes in this form by
    how much the images of a subpopulation differ from others of their classes.
    """

    cells: tuple[tuple[Change, ...], ...]

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.cells}
        require(len(widths) == 1 and 0 not in widths, "cells", "rows of equal length, at least one cell", self.cells)
        for row in self.cells:
            for cell in row:
                for part in (cell,) if isinstance(cell, int) else cell:
                    require(-255 <= part <= 255, "cells", "changes in -255..255", part)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        height, width, channels = image_shape
        rows, columns = len(self.cells), len(self.cells[0])
        if rows > height or columns > width:
            raise ConfigError("transformations", f"at most {height}×{width} cells", f"{rows}×{columns}")
        if channels != 3 and any(not isinstance(cell, int) for row in self.cells for cell in row):
            raise ConfigError("transformations", f"one value a cell for images of {channels} channel(s)", self.cells)

    def __call__(self, images: Images, intensity: float) -> Images:
        height, width, channels = images.shape[1:]
        wide = [[(cell,) * channels if isinstance(cell, int) else cell for cell in row] for row in self.cells]
        cells = np.array(wide, dtype=np.float32)
        rows, columns = np.arange(height) * len(cells) // height, np.arange(width) * len(cells[0]) // width
        return add(images, np.float32(intensity) * cells[rows[:, None], columns])


@dataclass(frozen=True)
class Occlusion(Region):
    """Hides a block behind the image's own mean color."""

    def __call__(self, images: Images, intensity: float) -> Images:
        return fill_block(images, self, images.mean(axis=(1, 2), keepdims=True), intensity)


@dataclass(frozen=True)
class Tint(Bounded):
    """Blends a color over the whole image; on gray images its brightness.

    red, green, blue: 0..255. opacity: share of the color at full intensity.
    """

    red: PixelValue
    green: PixelValue
    blue: PixelValue
    opacity: Opacity = 0.5

    def check(self, image_shape: tuple[int, int, int]) -> None:
        if image_shape[2] not in (1, 3):
            raise ConfigError("transformations", "gray or RGB images", f"images of {image_shape[2]} channels")

    def __call__(self, images: Images, intensity: float) -> Images:
        color = np.array([self.red, self.green, self.blue], dtype=np.float64)
        if images.shape[3] == 1:
            color = np.array([color_luminance(color)])
        return blend(images, color, self.opacity * intensity)
