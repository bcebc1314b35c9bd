"""Rows of small images with words beside and below them, in one pair of axes: many axes take a second to lay out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from modeldiff_core.report.figures import SMALL
from modeldiff_core.report.theme import Theme

SIDE = 48
"""Least width in pixels to which images are enlarged, each pixel to a square."""
GAP = 5
LINE = 20
"""Pixels between images, and below them for a line of words."""

Image = UInt8[np.ndarray, "height width channels"]


@dataclass(frozen=True)
class Tile:
    """An image, the words below it and their color; no words leave no room for them."""

    image: Image
    words: str = ""
    color: str = ""


def paint_mosaic(figure: Figure, theme: Theme, rows: Sequence[tuple[str, Sequence[Tile]]]) -> None:
    """Draw rows of images of one size, each row behind its name; rows without any image are left out."""
    rows = [(name, tiles) for name, tiles in rows if tiles]
    axes = figure.add_subplot()
    axes.set_axis_off()
    if not rows:
        return
    height, width = rows[0][1][0].image.shape[:2]
    scale = -(-SIDE // width)
    line = LINE if any(tile.words for _, tiles in rows for tile in tiles) else 0
    down, across = height * scale + GAP + line, width * scale + GAP
    canvas = np.zeros((down * len(rows), across * max(len(tiles) for _, tiles in rows), 4), np.uint8)
    for row, (name, tiles) in enumerate(rows):
        top = row * down
        label: dict[str, Any] = {"ha": "right", "va": "center", "color": theme.ink, "fontsize": SMALL}
        axes.text(-2 * GAP, top + height * scale / 2, name, **label)
        for column, tile in enumerate(tiles):
            left = column * across
            canvas[top : top + height * scale, left : left + width * scale] = _enlarged(tile.image, scale)
            if tile.words:
                below: dict[str, Any] = {
                    "ha": "center",
                    "va": "top",
                    "color": tile.color or theme.muted,
                    "fontsize": SMALL,
                }
                axes.text(left + width * scale / 2, top + height * scale + GAP, tile.words, **below)
    axes.imshow(canvas, interpolation="nearest")


def mosaic_height(shape: tuple[int, ...], rows: int, columns: int, width: int, *, words: bool) -> int:
    """Return the height in CSS pixels of a figure of that width that holds such rows."""
    scale = -(-SIDE // shape[1])
    down, across = shape[0] * scale + GAP + (LINE if words else 0), shape[1] * scale + GAP
    return round(0.85 * width * down * rows / (across * columns)) + 10


def _enlarged(image: Image, scale: int) -> UInt8[np.ndarray, "taller wider 4"]:
    large = image.repeat(scale, 0).repeat(scale, 1)
    colors = large[:, :, :3] if large.shape[2] >= 3 else np.repeat(large[:, :, :1], 3, axis=2)
    return np.concatenate([colors, np.full_like(colors[:, :, :1], 255)], axis=2)
