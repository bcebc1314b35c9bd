"""Spatial frequencies of a real two-dimensional spectrum."""

import numpy as np
from jaxtyping import Bool, Float


def spatial_frequencies(height: int, width: int) -> Float[np.ndarray, "frequencies half"]:
    """Return √(f_down² + f_across²) of each entry of the spectrum (numpy's rfft2), in cycles per pixel."""
    return np.asarray(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)))


def in_band(height: int, width: int, low: float, high: float) -> Bool[np.ndarray, "frequencies half"]:
    """Return which entries f of the spectrum are low < f ≤ high, in cycles per pixel."""
    frequencies = spatial_frequencies(height, width)
    return np.asarray((frequencies > low) & (frequencies <= high))
