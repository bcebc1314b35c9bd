"""Brightness of colors."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

LUMINANCE = (0.299, 0.587, 0.114)
"""Brightness of red, green and blue (ITU-R BT.601): what a color is on a grey image."""


def luminance(
    images: UInt8[np.ndarray, "*images height width channels"], precision: type[np.floating] = np.float32
) -> Float[np.ndarray, "*images height width"]:
    """Return the brightness of every pixel in 0..255; of images that are neither grey nor RGB the channels' mean."""
    if images.shape[-1] == 3:
        return np.asarray(images.astype(precision) @ np.array(LUMINANCE, precision))
    return np.asarray(images.mean(axis=-1, dtype=precision))


def color_luminance(color: Sequence[float] | Float[np.ndarray, "3"]) -> float:
    """Return the brightness of one color, on the scale of its red, green and blue."""
    return float(np.dot(color, LUMINANCE))
