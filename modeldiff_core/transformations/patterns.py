"""Pictures drawn by rule: webs, dots, stripes, checkers and textures, blended with or added to images."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from modeldiff_core.identity import generator
from modeldiff_core.subpopulations.statistics import radius
from modeldiff_core.transformations.patches import Pixel, check_colour, require_colour
from modeldiff_core.transformations.pixels import AnyShape, Images, require, to_pixels

Picture = Float[np.ndarray, "height width"]
PatternName = Literal["checker", "polka_dots", "stripes", "web"]


def web(height: int, width: int, threads: int = 16, turns: int = 9) -> Picture:
    """A spider's web in 0..1: straight threads from the centre, and threads between them that sag inwards.

    Brightness falls off linearly over one pixel from the middle of a thread, which is 1/80 of the shorter side wide.
    """
    rows, columns = np.indices((height, width))
    y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
    distance, angle = np.hypot(y, x), np.arctan2(y, x) / (2 * np.pi) * threads
    between = np.abs(angle - np.round(angle))
    spokes = between / threads * 2 * np.pi * distance
    gap = min(height, width) / 2 / turns
    # Where two spokes are furthest apart the thread between them comes a fifth of a gap nearer to the centre.
    ring = distance / gap + 0.2 * (2 * between) ** 2
    rings = np.abs(ring - np.round(ring)) * gap + np.where(distance > gap * (turns + 0.5), np.inf, 0.0)
    half = max(0.5, min(height, width) / 160)
    return np.asarray(np.clip(half + 0.5 - np.minimum(spokes, rings), 0, 1))


def polka_dots(height: int, width: int, period: int) -> Picture:
    """Discs of 0.3 periods' radius on a square lattice, every other row shifted by half a period."""
    rows, columns = np.indices((height, width)) + 0.5
    line = np.floor(rows / period)
    y, x = rows - (line + 0.5) * period, (columns - line % 2 * period / 2) % period - period / 2
    return np.asarray(np.clip(0.3 * period + 0.5 - np.hypot(y, x), 0, 1))


def pattern(name: PatternName, height: int, width: int, period: int) -> Picture:
    """A pattern in 0..1; period: pixels after which it repeats (of a web, between its rings)."""
    rows, columns = np.indices((height, width))
    half = max(1, period // 2)
    if name == "web":
        return web(height, width, turns=max(1, round(min(height, width) / 2 / period)))
    if name == "polka_dots":
        return polka_dots(height, width, period)
    cells = columns // half if name == "stripes" else rows // half + columns // half
    return np.asarray((cells % 2).astype(np.float64))


@dataclass(frozen=True)
class Pattern:
    """Blends a pattern of two colours over the whole image.

    period: in pixels. opacity: share of the pattern at full intensity. light, dark: its colours, one value (0..255) or
    red, green and blue.
    """

    pattern: PatternName
    period: int = 8
    opacity: float = 0.5
    light: Pixel = 255
    dark: Pixel = 0

    def __post_init__(self) -> None:
        require(self.period >= 2, "period", "2 pixels or more", self.period)
        require(0 < self.opacity <= 1, "opacity", "a number in (0, 1]", self.opacity)
        require_colour("light", self.light)
        require_colour("dark", self.dark)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        check_colour(self.light, image_shape)
        check_colour(self.dark, image_shape)

    def __call__(self, images: Images, intensity: float) -> Images:
        height, width, channels = images.shape[1:]
        light, dark = (np.broadcast_to(np.array(c, np.float32), (channels,)) for c in (self.light, self.dark))
        picture = pattern(self.pattern, height, width, self.period).astype(np.float32)[..., None]
        share = np.float32(self.opacity * intensity)
        return to_pixels((1 - share) * images + share * (dark + (light - dark) * picture))


@dataclass(frozen=True)
class Texture(AnyShape):
    """Adds a random texture of one band of spatial frequencies, the same to every image and channel.

    low, high: the band in cycles per pixel. amplitude: the texture's standard deviation at full intensity, pixels in
    0..1. seed: which texture.
    """

    low: float = 0.125
    high: float = 0.25
    amplitude: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.low < self.high, "high", "more than low, both cycles per pixel of 0 or more", self.high)
        require(self.amplitude > 0, "amplitude", "more than 0", self.amplitude)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        height, width, _ = image_shape
        frequencies = radius(height, width)
        holds = ((frequencies > self.low) & (frequencies <= self.high)).any()
        require(bool(holds), "high", f"a band that {height}×{width} images can hold", (self.low, self.high))

    def __call__(self, images: Images, intensity: float) -> Images:
        height, width = images.shape[1:3]
        frequencies = radius(height, width)
        noise = generator("texture", self.seed).standard_normal((height, width))
        kept = np.fft.rfft2(noise) * ((frequencies > self.low) & (frequencies <= self.high))
        texture = np.fft.irfft2(kept, s=(height, width))
        scaled = 255 * self.amplitude * intensity * texture / texture.std()
        return to_pixels(images + scaled.astype(np.float32)[None, :, :, None])
