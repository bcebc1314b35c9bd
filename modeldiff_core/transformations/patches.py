"""Transformations that put something onto the image, or onto a block of it."""

from dataclasses import dataclass

import numpy as np

from modeldiff_core.data import Watermark
from modeldiff_core.errors import ConfigError
from modeldiff_core.transformations.pixels import Images, Region, blend, require, require_pixel

LUMINANCE = (0.299, 0.587, 0.114)
"""Brightness of red, green and blue (ITU-R BT.601): what a colour is on a grey image."""


def _fill_block(region: Region, images: Images, filling: np.ndarray | int, intensity: float) -> Images:
    out = images.copy()
    out[region.block] = blend(images[region.block], filling, intensity)
    return out


@dataclass(frozen=True)
class WatermarkPatch(Region):
    """Blends the planted checkerboard (``data.Watermark``) into a block; pasted whole at full intensity."""

    def __call__(self, images: Images, intensity: float) -> Images:
        pattern = Watermark(self.top, self.left, self.height, self.width).pattern()
        return _fill_block(self, images, pattern[None, :, :, None], intensity)


@dataclass(frozen=True)
class Patch(Region):
    """Blends a block of one colour in; value: 0..255 for all channels, or red, green and blue."""

    value: int | tuple[int, int, int] = 255

    def __post_init__(self) -> None:
        super().__post_init__()
        for value in (self.value,) if isinstance(self.value, int) else self.value:
            require_pixel("value", value)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        super().check(image_shape)
        if not isinstance(self.value, int) and image_shape[2] != 3:
            raise ConfigError("transformations", f"one value for images of {image_shape[2]} channel(s)", self.value)

    def __call__(self, images: Images, intensity: float) -> Images:
        return _fill_block(self, images, np.asarray(self.value), intensity)


@dataclass(frozen=True)
class Occlusion(Region):
    """Hides a block behind the image's own mean colour."""

    def __call__(self, images: Images, intensity: float) -> Images:
        return _fill_block(self, images, images.mean(axis=(1, 2), keepdims=True), intensity)


@dataclass(frozen=True)
class Tint:
    """Blends a colour over the whole image; on grey images its brightness.

    red, green, blue: 0..255. opacity: share of the colour at full intensity.
    """

    red: int
    green: int
    blue: int
    opacity: float = 0.5

    def __post_init__(self) -> None:
        for field in ("red", "green", "blue"):
            require_pixel(field, getattr(self, field))
        require(0 < self.opacity <= 1, "opacity", "a number in (0, 1]", self.opacity)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        if image_shape[2] not in (1, 3):
            raise ConfigError("transformations", "grey or RGB images", f"images of {image_shape[2]} channels")

    def __call__(self, images: Images, intensity: float) -> Images:
        colour = np.array([self.red, self.green, self.blue], dtype=np.float64)
        if images.shape[3] == 1:
            colour = np.array([colour @ LUMINANCE])
        return blend(images, colour, self.opacity * intensity)
