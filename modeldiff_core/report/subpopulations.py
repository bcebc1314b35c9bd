"""What the page says and shows of what an end of a direction shares."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from modeldiff_core.report.facts import EndFacts
from modeldiff_core.report.galleries import Tile
from modeldiff_core.report.images import image_uri, is_pixel_art
from modeldiff_core.report.words import number

BLUE, RED = np.array([33, 102, 172]), np.array([178, 24, 43])
"""Darker and brighter than the others, on white."""


@dataclass(frozen=True)
class SharedView:
    """Sentences, and pictures of the mean image, its difference from the others', and the difference's error."""

    size: int
    words: list[str]
    pictures: list[Tile]


def shared_view(end: EndFacts | None) -> SharedView | None:
    """Return what an end shares as the page shows it; None where nothing was described."""
    if end is None:
        return None
    image = end.image
    if not end.size or image is None:
        return SharedView(end.size, list(end.words), [])
    largest, error = float(np.abs(image.difference).max()), float(image.error.max())
    pictures = [
        _tile(np.clip(np.rint(image.mean), 0, 255).astype(np.uint8), "mean", "", "Mean image"),
        _tile(
            difference_picture(image.difference),
            "difference",
            f"to ±{number(largest, 0)}",
            f"Difference of the mean image from that of others, up to {number(largest, 0)} of 255",
        ),
        _tile(
            error_picture(image.error),
            "its error",
            f"to {number(error, 1)}",
            f"Standard error of the difference, up to {number(error, 1)} of 255",
        ),
    ]
    return SharedView(end.size, list(end.words), pictures)


def difference_picture(difference: Float[np.ndarray, "height width channels"]) -> UInt8[np.ndarray, "height width 3"]:
    """Pixels that are darker in blue and brighter in red on white; in color, red, green and blue around gray."""
    scaled = difference / max(float(np.abs(difference).max()), 1e-9)
    if difference.shape[2] == 3:
        return np.rint(127.5 + 127.5 * scaled).astype(np.uint8)
    strength = scaled.mean(axis=2, keepdims=True)
    color = np.where(strength > 0, RED, BLUE)
    return np.asarray(np.rint(255 + np.abs(strength) * (color - 255)).astype(np.uint8))


def error_picture(error: Float[np.ndarray, "height width channels"]) -> UInt8[np.ndarray, "height width 1"]:
    """Return the largest error of the channels, from 0 (black) to the image's largest (white)."""
    largest = error.max(axis=2, keepdims=True)
    return np.asarray(np.rint(255 * largest / max(float(largest.max()), 1e-9)).astype(np.uint8))


def _tile(image: UInt8[np.ndarray, "height width channels"], title: str, value: str, alt: str) -> Tile:
    return Tile(image_uri(image), title, value, alt, is_pixel_art(image))
