"""Shifts by whole pixels: by the same for all images, or by each image's own."""

import numpy as np
import torch
from jaxtyping import Int, Num
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.images.pixels import Images, byte_level


def shift_all(images: Images, down: int, right: int, fill: int = 0) -> Images:
    """Return y[row, column] = x[row − down, column − right]; `fill` (0..255) moves in where x has no such pixel."""
    out = np.full_like(images, fill)
    out[:, _from(down), _from(right)] = images[:, _from(-down), _from(-right)]
    return out


def _from(shift: int) -> slice:
    return slice(shift, None) if shift >= 0 else slice(None, shift)


def shift_each(
    images: Num[Tensor, "n height width channels"], shifts: Int[Tensor, "n 2"], most: int, fill: float | None
) -> Num[Tensor, "n height width channels"]:
    """Move each image down and to the right by its own shift of −most..most pixels.

    fill: the level (0..1) that moves in, or None for the image mirrored at its outermost pixels.
    """
    n, height, width, channels = images.shape
    padded = _mirrored(images, most) if fill is None else _surrounded(images, most, fill)
    # A row of the result is one run of the padded image's pixels: copying runs is several times as fast as pixels.
    runs = padded.reshape(-1).unfold(0, width * channels, channels)
    rows = torch.arange(height, device=images.device) + most - shifts[:, :1]
    image = torch.arange(n, device=images.device)[:, None]
    starts = (image * padded.shape[1] + rows) * padded.shape[2] + most - shifts[:, 1:]
    return runs.index_select(0, starts.flatten()).reshape(images.shape)


def _surrounded(
    images: Num[Tensor, "n height width channels"], pixels: int, fill: float
) -> Num[Tensor, "n out_height out_width channels"]:
    return F.pad(images, (0, 0, *(pixels,) * 4), value=byte_level(fill, images))


def _mirrored(
    images: Num[Tensor, "n height width channels"], pixels: int
) -> Num[Tensor, "n out_height out_width channels"]:
    for axis in (1, 2):
        last = images.shape[axis] - 1
        at = torch.arange(-pixels, last + pixels + 1, device=images.device)
        images = images.index_select(axis, last - (last - at.abs()).abs())
    return images
