"""Brightness of colors."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

LUMINANCE = (0.299, 0.587, 0.114)
"""Brightness of red, green and blue (ITU-R BT.601): what a color is on a gray image."""


def luminance(
    images: UInt8[np.ndarray, "*images height width channels"], precision: type[np.floating] = np.float32
) -> Float[np.ndarray, "*images height width"]:
    """Return .299·red + .587·green + .114·blue of every pixel, in 0..255 (ITU-R BT.601).

    Of a gray image it is the image, with other numbers of channels than 1 and 3 their mean.
    """
    if images.shape[-1] == 3:
        return np.asarray(images.astype(precision) @ np.array(LUMINANCE, precision))
    return np.asarray(images.mean(axis=-1, dtype=precision))


def color_luminance(color: Sequence[float] | Float[np.ndarray, "3"]) -> float:
    """Return .299·red + .587·green + .114·blue of one color, on its scale (ITU-R BT.601)."""
    return float(np.dot(color, LUMINANCE))
