"""Transformations that move pixels."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from scipy import ndimage

from modeldiff_core.errors import ConfigError
from modeldiff_core.images import Images, Rectangles, shift_all, to_pixels, window
from modeldiff_core.limits import Limit
from modeldiff_core.transformations.pixels import AnyShape, Bounded, PixelValue


@dataclass(frozen=True)
class Translate(Bounded):
    """Shifts down by `rows` and right by `columns` pixels at full intensity, in whole pixels.

    Negative shifts go up and left; what moves in is `fill` (0..255).
    """

    rows: int = 0
    columns: int = 0
    fill: PixelValue = 0

    def check(self, image_shape: tuple[int, int, int]) -> None:
        height, width, _ = image_shape
        if abs(self.rows) >= height or abs(self.columns) >= width:
            raise ConfigError("transformations", f"a shift that leaves a part of {height}×{width} images", self)

    def __call__(self, images: Images, intensity: float) -> Images:
        down, right = round(self.rows * intensity), round(self.columns * intensity)
        return shift_all(images, down, right, self.fill)


@dataclass(frozen=True)
class Rotate(AnyShape):
    """Turns counterclockwise about the center by `degrees` at full intensity, bilinear; `fill` (0..255) moves in."""

    degrees: float = 15.0
    fill: PixelValue = 0

    def __call__(self, images: Images, intensity: float) -> Images:
        turned = ndimage.rotate(
            images.astype(np.float32),
            self.degrees * intensity,
            axes=(2, 1),
            reshape=False,
            order=1,
            mode="grid-constant",
            cval=self.fill,
        )
        return to_pixels(turned)


@dataclass(frozen=True)
class Crop(AnyShape):
    """Enlarges a part of the image to the whole of it, bilinear, in whole pixels.

    share: of the height and of the width that is left at full intensity. row, column: where that part lies, 0 at the
    top or left, 1 at the bottom or right.
    """

    share: Annotated[float, Limit(above=0, below=1)] = 0.75
    row: Annotated[float, Limit(least=0, most=1)] = 0.5
    column: Annotated[float, Limit(least=0, most=1)] = 0.5

    def __call__(self, images: Images, intensity: float) -> Images:
        height, width = images.shape[1:3]
        left = 1 - (1 - self.share) * intensity
        rows, columns = max(1, round(left * height)), max(1, round(left * width))
        if (rows, columns) == (height, width):
            return images.copy()

        top, left_edge = round(self.row * (height - rows)), round(self.column * (width - columns))
        pixels = torch.from_numpy(images.astype(np.float32))
        part = Rectangles.alike(pixels, top, left_edge, rows, columns)
        return to_pixels(window(pixels, part, height, width).numpy())
