"""Transformations that blend pictures drawn by rule with images, or add them."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float

from modeldiff_core.images import Images, add, blend, checkerboard, in_band, polka_dots, stripes, texture, web
from modeldiff_core.limits import Limit
from modeldiff_core.transformations.patches import Pixel, check_color, require_color
from modeldiff_core.transformations.pixels import AnyShape, Bounded, Opacity, Positive, require

PatternName = Literal["checker", "polka_dots", "stripes", "web"]


def pattern(name: PatternName, height: int, width: int, period: int) -> Float[np.ndarray, "height width"]:
    """Draw a pattern in 0..1; period: pixels after which it repeats (of a web, between its rings)."""
    half = max(1, period // 2)
    if name == "web":
        return web(height, width, turns=max(1, round(min(height, width) / 2 / period)))
    if name == "polka_dots":
        return polka_dots(height, width, period)
    drawn = stripes(height, width, half) if name == "stripes" else checkerboard(height, width, half)
    return drawn.astype(np.float64)


@dataclass(frozen=True)
class Pattern(Bounded):
    """Blends a pattern of two colors over the whole image.

    period: in pixels. opacity: share of the pattern at full intensity. light, dark: its colors, one value (0..255) or
    red, green and blue.
    """

    pattern: PatternName
    period: Annotated[int, Limit(least=2)] = 8
    opacity: Opacity = 0.5
    light: Pixel = 255
    dark: Pixel = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_color("light", self.light)
        require_color("dark", self.dark)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        check_color(self.light, image_shape)
        check_color(self.dark, image_shape)

    def __call__(self, images: Images, intensity: float) -> Images:
        height, width, channels = images.shape[1:]
        light, dark = (np.broadcast_to(np.array(c, np.float32), (channels,)) for c in (self.light, self.dark))
        picture = pattern(self.pattern, height, width, self.period).astype(np.float32)[..., None]
        return blend(images, dark + (light - dark) * picture, self.opacity * intensity)


@dataclass(frozen=True)
class Texture(AnyShape):
    """Adds a random texture of one band of spatial frequencies, the same to every image and channel.

    low, high: the band in cycles per pixel. amplitude: the texture's standard deviation at full intensity, pixels in
    0..1. seed: which texture.
    """

    low: float = 0.125
    high: float = 0.25
    amplitude: Positive = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.low < self.high, "high", "more than low, both cycles per pixel of 0 or more", self.high)
        super().__post_init__()

    def check(self, image_shape: tuple[int, int, int]) -> None:
        height, width, _ = image_shape
        holds = in_band(height, width, self.low, self.high).any()
        require(bool(holds), "high", f"a band that {height}×{width} images can hold", (self.low, self.high))

    def __call__(self, images: Images, intensity: float) -> Images:
        height, width = images.shape[1:3]
        drawn = texture(height, width, self.low, self.high, self.seed)
        scaled = 255 * self.amplitude * intensity * drawn / drawn.std()
        return add(images, scaled.astype(np.float32)[None, :, :, None])
