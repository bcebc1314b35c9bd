"""Parts of images, resized.

Pixels between pixels are bilinear with centers at half-integers and no antialiasing (torch's
``interpolate(mode="bilinear", align_corners=False, antialias=False)``): shrinking by more than 2 skips pixels.
"""

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

TRIES = 10
"""Rectangles that are drawn before the central one is taken, as in torchvision."""
RECTANGLE_DRAWS = 2 * TRIES + 2
"""Uniform draws that one random rectangle uses up: area and ratio of every try, then top and left."""


@dataclass(frozen=True)
class Rectangles:
    """A rectangle for each image: rows × columns pixels at (top, left)."""

    top: Int[Tensor, " n"]
    left: Int[Tensor, " n"]
    rows: Int[Tensor, " n"]
    columns: Int[Tensor, " n"]

    @classmethod
    def alike(cls, images: Tensor, top: int, left: int, rows: int, columns: int) -> "Rectangles":
        """Return the same rectangle for all images."""
        size, device = (len(images),), images.device
        return cls(*(torch.full(size, value, device=device) for value in (top, left, rows, columns)))


def window(
    images: Float[Tensor, "n height width channels"], part: Rectangles, height: int, width: int
) -> Float[Tensor, "n out_height out_width channels"]:
    """Return each image's rectangle resized to height × width.

    Output pixel i lies at p = clip((i + ½)·rows/height − ½, 0, rows − 1) within the rectangle and is
    (1 − f)·x[⌊p⌋] + f·x[⌊p⌋ + 1], f = p − ⌊p⌋, along rows and then along columns.
    """
    lines = _along_rows(images, part.top, part.rows, height)
    return _along_rows(lines.transpose(1, 2), part.left, part.columns, width).transpose(1, 2).contiguous()


def resize(
    images: Float[Tensor, "n height width channels"], height: int, width: int
) -> Float[Tensor, "n out_height out_width channels"]:
    """Stretch whole images to height × width pixels: `window` of all of each image."""
    return window(images, Rectangles.alike(images, 0, 0, images.shape[1], images.shape[2]), height, width)


def center_crop(
    images: Num[Tensor, "n height width channels"], height: int, width: int
) -> Num[Tensor, "n out_height out_width channels"]:
    """Return the central height × width pixels; an odd rest is cut at the far side."""
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return images[:, top : top + height, left : left + width]


def random_rectangles(
    draws: Float[Tensor, "n draws"], size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]
) -> Rectangles:
    """Return a random rectangle for each of n images of that height and width (torchvision's RandomResizedCrop).

    draws: RECTANGLE_DRAWS uniform ones in [0, 1) for each. scale: range of the rectangle's share of the area, uniform.
    ratio: range of its width / height, log-uniform. The first of TRIES such rectangles that fits is placed uniformly;
    if none does, the largest central one within the ratios is taken.
    """
    height, width = size
    # In float64, so that no device rounds a rectangle to other pixels than another.
    u = draws.double()
    area = height * width * (scale[0] + u[:, 0 : 2 * TRIES : 2] * (scale[1] - scale[0]))
    low, high = log(ratio[0]), log(ratio[1])
    aspect = (low + u[:, 1 : 2 * TRIES : 2] * (high - low)).exp()
    columns, rows = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
    fits = (rows >= 1) & (rows <= height) & (columns >= 1) & (columns <= width)
    first = fits.int().argmax(1, keepdim=True)
    none = ~fits.any(1)
    central = _central(height, width, ratio)
    rows = rows.gather(1, first)[:, 0].masked_fill(none, central[0])
    columns = columns.gather(1, first)[:, 0].masked_fill(none, central[1])
    top = (u[:, 2 * TRIES] * (height - rows + 1)).long()
    left = (u[:, 2 * TRIES + 1] * (width - columns + 1)).long()
    top = torch.where(none, (height - central[0]) // 2, top)
    left = torch.where(none, (width - central[1]) // 2, left)
    return Rectangles(top, left, rows, columns)


def _central(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """Return rows and columns of the largest rectangle whose width / height is within the ratios."""
    if width / height < ratio[0]:
        return max(1, round(width / ratio[0])), width
    if width / height > ratio[1]:
        return height, max(1, round(height * ratio[1]))
    return height, width


def _along_rows(
    images: Float[Tensor, "n height width channels"], start: Int[Tensor, " n"], size: Int[Tensor, " n"], out: int
) -> Float[Tensor, "n out width channels"]:
    """Interpolate between whole rows, which are copied as runs: several times as fast as pixel by pixel."""
    n, height, width, channels = images.shape
    last = (size - 1)[:, None]
    at = (torch.arange(out, device=images.device, dtype=torch.float64) + 0.5) * (size.double()[:, None] / out) - 0.5
    at = at.clamp(min=0)
    above = torch.minimum(at.floor().long(), last)
    below = torch.minimum(above + 1, last)
    share = (at - above).clamp(max=1).to(images.dtype).reshape(-1, 1)
    first = torch.arange(n, device=images.device)[:, None] * height + start[:, None]
    runs = images.reshape(n * height, width * channels)
    upper, lower = (runs.index_select(0, (first + row).flatten()) for row in (above, below))
    return torch.lerp(upper, lower, share).reshape(n, out, width, channels)
