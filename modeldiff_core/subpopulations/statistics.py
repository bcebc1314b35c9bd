"""Numbers about an image that a person would give words to: color, brightness, position, spatial frequency."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from modeldiff_core.images import in_band, luminance

BATCH = 256
"""Images whose spectra are held at a time."""


@dataclass(frozen=True)
class Band:
    """Spatial frequencies in cycles per pixel, above `low` and up to `high`."""

    name: str
    low: float
    high: float


BANDS = (
    Band("coarse structure", 0.0, 0.125),
    Band("medium structure", 0.125, 0.25),
    Band("fine structure", 0.25, 0.75),
)
"""Octaves of spatial frequency; 0.5 along rows and columns at once is a radius of 0.71."""


def image_statistics(
    images: UInt8[np.ndarray, "images height width channels"],
) -> dict[str, Float[np.ndarray, " images"]]:
    """Return one number an image for each statistic, in pixel values (0..255) or, for positions, in pixels.

    brightness: mean luminance. contrast: its standard deviation. red, green, blue: means of the channels, and
    colourfulness: mean of the largest minus the smallest of them (RGB only). The BANDS: root of the luminance's power
    within a band. row, column: center of the luminance's distance from the image's darkest value, from the top left.
    """
    found: dict[str, Float[np.ndarray, " images"]] = {}
    gray = luminance(images)
    found["brightness"] = gray.mean((1, 2), dtype=np.float64)
    found["contrast"] = gray.std((1, 2), dtype=np.float64)
    if images.shape[3] == 3:
        for channel, name in enumerate(("red", "green", "blue")):
            found[name] = images[..., channel].mean((1, 2))
        spread = images.max(3).astype(np.float32) - images.min(3)
        found["colourfulness"] = spread.mean((1, 2), dtype=np.float64)
    height, width = gray.shape[1:]
    half = width // 2 + 1
    # A real spectrum holds each column of frequencies but the first (and, for even widths, the last) for two.
    twice = np.full(half, 2.0)
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    power = np.concatenate([_power(gray[at : at + BATCH], twice) for at in range(0, len(gray), BATCH)])
    for band in BANDS:
        found[band.name] = np.sqrt(power[:, in_band(height, width, band.low, band.high)].sum(1))
    mass = gray - gray.min((1, 2), keepdims=True)
    total = np.maximum(mass.sum((1, 2), dtype=np.float64), 1e-9)
    found["row"] = (mass.sum(2) @ np.arange(height)) / total
    found["column"] = (mass.sum(1) @ np.arange(width)) / total
    return found


def _power(
    gray: Float[np.ndarray, "images height width"], twice: Float[np.ndarray, " half"]
) -> Float[np.ndarray, "images frequencies half"]:
    """Share of the variance at each frequency, so that the sum over all but 0 is the variance (Parseval)."""
    pixels = gray.shape[1] * gray.shape[2]
    return np.asarray(np.square(np.abs(np.fft.rfft2(gray))) * twice / pixels**2)
