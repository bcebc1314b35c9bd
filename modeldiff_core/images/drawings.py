"""Pictures drawn by rule: webs, dots, stripes, checkers, waves and textures, one number a pixel."""

import numpy as np
from jaxtyping import Bool, Float, Int

from modeldiff_core.identity import generator
from modeldiff_core.images.frequencies import in_band

Picture = Float[np.ndarray, "height width"]


def web(height: int, width: int, threads: int = 16, turns: int = 9) -> Picture:
    """Draw a spider's web in 0..1: straight threads from the center, and threads between them that sag inwards.

    Brightness falls off linearly over one pixel from the middle of a thread, which is 1/80 of the shorter side wide.
    """
    rows, columns = np.indices((height, width))
    y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
    distance, angle = np.hypot(y, x), np.arctan2(y, x) / (2 * np.pi) * threads
    between = np.abs(angle - np.round(angle))
    spokes = between / threads * 2 * np.pi * distance
    gap = min(height, width) / 2 / turns
    # Where two spokes are furthest apart the thread between them comes a fifth of a gap nearer to the center.
    ring = distance / gap + 0.2 * (2 * between) ** 2
    rings = np.abs(ring - np.round(ring)) * gap + np.where(distance > gap * (turns + 0.5), np.inf, 0.0)
    half = max(0.5, min(height, width) / 160)
    return np.asarray(np.clip(half + 0.5 - np.minimum(spokes, rings), 0, 1))


def polka_dots(height: int, width: int, period: int) -> Picture:
    """Draw discs of 0.3 periods' radius in 0..1 on a square lattice, every other row shifted by half a period."""
    rows, columns = np.indices((height, width)) + 0.5
    line = np.floor(rows / period)
    y, x = rows - (line + 0.5) * period, (columns - line % 2 * period / 2) % period - period / 2
    return np.asarray(np.clip(0.3 * period + 0.5 - np.hypot(y, x), 0, 1))


def checkerboard(height: int, width: int, side: int = 1) -> Int[np.ndarray, "height width"]:
    """Draw squares of that side: (⌊row/side⌋ + ⌊column/side⌋) mod 2, 0 in the top left corner."""
    rows, columns = np.indices((height, width))
    return np.asarray((rows // side + columns // side) % 2)


def stripes(height: int, width: int, side: int) -> Int[np.ndarray, "height width"]:
    """Draw upright stripes of that width: ⌊column/side⌋ mod 2, 0 at the left."""
    _, columns = np.indices((height, width))
    return np.asarray(columns // side % 2)


def diagonal_stripes(height: int, width: int, period: int) -> Bool[np.ndarray, "height width"]:
    """Draw stripes from bottom left to top right: where (row + column) mod period < period/2."""
    rows, columns = np.indices((height, width))
    return np.asarray((rows + columns) % period < period / 2)


def wave(height: int, width: int, down: float, across: float) -> Picture:
    """Draw cos(2π·(down·row + across·column)); frequencies in cycles a pixel."""
    rows, columns = np.indices((height, width))
    return np.asarray(np.cos(2 * np.pi * (down * rows + across * columns)))


def texture(height: int, width: int, low: float, high: float, seed: int) -> Picture:
    """Draw a random texture of the spatial frequencies low < f ≤ high, in cycles per pixel."""
    noise = generator("texture", seed).standard_normal((height, width))
    kept = np.fft.rfft2(noise) * in_band(height, width, low, high)
    return np.asarray(np.fft.irfft2(kept, s=(height, width)))
