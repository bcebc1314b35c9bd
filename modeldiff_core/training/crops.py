"""Changes that decide the size of an image: they also apply at evaluation, without chance.

Pixels between pixels are bilinear with centres at half-integers and no antialiasing (torch's
``interpolate(mode="bilinear", align_corners=False, antialias=False)``): shrinking by more than 2 skips pixels.
"""

from dataclasses import dataclass
from math import log
from typing import Literal

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from modeldiff_core.training.operations import Operation, Shape, check

TRIES = 10
"""Rectangles that a random resized crop draws before it falls back to the central one, as in torchvision."""


def window(
    images: Float[Tensor, "n height width channels"],
    top: Int[Tensor, " n"],
    left: Int[Tensor, " n"],
    rows: Int[Tensor, " n"],
    columns: Int[Tensor, " n"],
    height: int,
    width: int,
) -> Float[Tensor, "n out_height out_width channels"]:
    """Each image's rectangle of rows × columns pixels at (top, left), resized to height × width.

    Output pixel i lies at p = clip((i + ½)·rows/height − ½, 0, rows − 1) within the rectangle and is
    (1 − f)·x[⌊p⌋] + f·x[⌊p⌋ + 1], f = p − ⌊p⌋, along rows and then along columns.
    """
    lines = _along_rows(images, top, rows, height)
    return _along_rows(lines.transpose(1, 2), left, columns, width).transpose(1, 2).contiguous()


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


def _everywhere(images: Tensor, value: int) -> Tensor:
    return torch.full((len(images),), value, device=images.device)


@dataclass(frozen=True)
class Resize(Operation):
    """Stretch to height × width pixels, in training and at evaluation."""

    kind: Literal["resize"] = "resize"
    height: int = 32
    width: int = 32

    def __post_init__(self) -> None:
        check(min(self.height, self.width) >= 1, "", "a height and width of 1 or more", self)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        return 0

    def output_shape(self, height: int, width: int, channels: int) -> Shape:
        return self.height, self.width, channels

    def __call__(
        self, images: Float[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Float[Tensor, "n out_height out_width channels"]:
        return self.at_evaluation(images)

    def at_evaluation(
        self, images: Float[Tensor, "n height width channels"]
    ) -> Float[Tensor, "n out_height out_width channels"]:
        start = _everywhere(images, 0)
        rows, columns = (_everywhere(images, size) for size in images.shape[1:3])
        return window(images, start, start, rows, columns, self.height, self.width)


@dataclass(frozen=True)
class CentreCrop(Operation):
    """Keep the central height × width pixels, in training and at evaluation; an odd rest is cut at the far side."""

    kind: Literal["centre_crop"] = "centre_crop"
    height: int = 32
    width: int = 32

    def __post_init__(self) -> None:
        check(min(self.height, self.width) >= 1, "", "a height and width of 1 or more", self)

    @property
    def exact_on_bytes(self) -> bool:
        return True

    def n_draws(self, height: int, width: int, channels: int) -> int:
        self.output_shape(height, width, channels)
        return 0

    def output_shape(self, height: int, width: int, channels: int) -> Shape:
        check(self.height <= height and self.width <= width, "", f"a crop inside {height}×{width} images", self)
        return self.height, self.width, channels

    def __call__(
        self, images: Num[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Num[Tensor, "n out_height out_width channels"]:
        return self.at_evaluation(images)

    def at_evaluation(
        self, images: Num[Tensor, "n height width channels"]
    ) -> Num[Tensor, "n out_height out_width channels"]:
        top, left = (images.shape[1] - self.height) // 2, (images.shape[2] - self.width) // 2
        return images[:, top : top + self.height, left : left + self.width]


@dataclass(frozen=True)
class RandomResizedCrop(Operation):
    """A random rectangle of the image, resized to height × width pixels (torchvision's algorithm).

    scale: range of the rectangle's share of the area, uniform; ratio: range of its width / height, log-uniform. The
    first of ten such rectangles that fits is placed uniformly; if none does, the largest central one within the
    ratios is taken. Always 22 draws: area and ratio of ten tries, then top and left.
    At evaluation: the central height × width pixels, or the whole image resized where it is smaller than that; put a
    `Resize` before it where images are stored much larger.
    """

    kind: Literal["random_resized_crop"] = "random_resized_crop"
    height: int = 32
    width: int = 32
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        check(min(self.height, self.width) >= 1, "", "a height and width of 1 or more", self)
        check(0 < self.scale[0] <= self.scale[1] <= 1, "scale", "a range within (0, 1]", self.scale)
        check(0 < self.ratio[0] <= self.ratio[1], "ratio", "a range above 0", self.ratio)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        return 2 * TRIES + 2

    def output_shape(self, height: int, width: int, channels: int) -> Shape:
        return self.height, self.width, channels

    def rectangles(
        self, draws: Float[Tensor, "n draws"], height: int, width: int
    ) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"], Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Top, left, rows and columns of each image's rectangle."""
        # In float64, so that no device rounds a rectangle to other pixels than another.
        u = draws.double()
        area = height * width * (self.scale[0] + u[:, 0 : 2 * TRIES : 2] * (self.scale[1] - self.scale[0]))
        low, high = log(self.ratio[0]), log(self.ratio[1])
        aspect = (low + u[:, 1 : 2 * TRIES : 2] * (high - low)).exp()
        columns, rows = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
        fits = (rows >= 1) & (rows <= height) & (columns >= 1) & (columns <= width)
        first = fits.int().argmax(1, keepdim=True)
        none = ~fits.any(1)
        central = self._central(height, width)
        rows = rows.gather(1, first)[:, 0].masked_fill(none, central[0])
        columns = columns.gather(1, first)[:, 0].masked_fill(none, central[1])
        top, left = (
            (u[:, 2 * TRIES] * (height - rows + 1)).long(),
            (u[:, 2 * TRIES + 1] * (width - columns + 1)).long(),
        )
        top = torch.where(none, (height - central[0]) // 2, top)
        left = torch.where(none, (width - central[1]) // 2, left)
        return top, left, rows, columns

    def _central(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the largest rectangle whose width / height is within the ratios."""
        if width / height < self.ratio[0]:
            return max(1, round(width / self.ratio[0])), width
        if width / height > self.ratio[1]:
            return height, max(1, round(height * self.ratio[1]))
        return height, width

    def __call__(
        self, images: Float[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Float[Tensor, "n out_height out_width channels"]:
        rectangles = self.rectangles(draws, images.shape[1], images.shape[2])
        return window(images, *rectangles, self.height, self.width)

    def at_evaluation(
        self, images: Float[Tensor, "n height width channels"]
    ) -> Float[Tensor, "n out_height out_width channels"]:
        fits = self.height <= images.shape[1] and self.width <= images.shape[2]
        return (CentreCrop if fits else Resize)(height=self.height, width=self.width).at_evaluation(images)
