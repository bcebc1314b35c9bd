"""The six transformations of ModelDiff's case studies (arXiv 2211.12491), sized and placed as in its published code.

Two patterns that the code reads from pictures are drawn by rule instead, and put through the same steps. Where images
are not of the paper's size, places and sizes grow with them; each docstring says how.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float

from modeldiff_core.data import Examples
from modeldiff_core.images import (
    RECTANGLE_DRAWS,
    Images,
    add,
    blend,
    color_luminance,
    generator_of,
    polka_dots,
    random_rectangles,
    to_pixels,
    web,
    window,
)
from modeldiff_core.limits import Limit
from modeldiff_core.transformations.backgrounds import Bound, Masks, check_shows_pictures, in_channels, masks_of
from modeldiff_core.transformations.patches import Patch, Stamp
from modeldiff_core.transformations.pictures import check_picture, picture
from modeldiff_core.transformations.pixels import Bounded, Positive, Region, require

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Red, green and blue in 0..1: a pattern that is normalized by it lightens where it is bright and darkens elsewhere."""
LIVING17, WATERBIRDS, CIFAR = 224, 224, 32
"""Sides of the images that the sizes below are given for."""


@dataclass(frozen=True)
class _CroppedPattern(Bounded):
    """x + δ·(P − μ), clipped to 0..1, with P a random crop of a pattern and μ the ImageNet mean.

    The published code adds δ·P to normalized images with P normalized too; the deviation cancels. delta: δ at full
    intensity. seed: with the image alone it decides the crop (torchvision's RandomResizedCrop, back to the image's
    size). Gray images: μ's luminance.
    """

    delta: Positive = 0.5
    seed: int = 0

    def check(self, image_shape: tuple[int, int, int]) -> None:
        check_shows_pictures(image_shape)

    def _add(
        self, images: Images, pattern: Float[np.ndarray, "height width"], largest: float, intensity: float
    ) -> Images:
        """Add a crop of 8 % to `largest` of the pattern's area, of width / height 3/4 to 4/3, to each image."""
        n, height, width, channels = images.shape
        draws = np.stack([generator_of(x, "pattern crop", self.seed).random(RECTANGLE_DRAWS) for x in images])
        parts = random_rectangles(torch.from_numpy(draws), (height, width), (0.08, largest), (3 / 4, 4 / 3))
        whole = torch.from_numpy(pattern.astype(np.float32))[None, :, :, None].expand(n, height, width, 1)
        cropped = window(whole, parts, height, width).numpy()
        mean = np.array(IMAGENET_MEAN if channels == 3 else [color_luminance(IMAGENET_MEAN)], dtype=np.float32)
        return add(images, np.float32(255 * self.delta * intensity) * (cropped - mean))


@dataclass(frozen=True)
class SpiderWeb(_CroppedPattern):
    """Living17: a web in black and white (pattern > 0.45), crops of 8 to 100 % of its area."""

    def __call__(self, images: Images, intensity: float) -> Images:
        height, width = images.shape[1:3]
        drawn = (web(height, width) > 0.45).astype(np.float64)
        return self._add(images, drawn, 1.0, intensity)


@dataclass(frozen=True)
class PolkaDots(_CroppedPattern):
    """Living17: dots rounded to 0 and 1, crops of 8 to 50 % of the area.

    They are an eighth of the shorter side apart, and three pixels at least: nearer ones are rounded away.
    """

    def __call__(self, images: Images, intensity: float) -> Images:
        height, width = images.shape[1:3]
        drawn = np.round(polka_dots(height, width, max(3, min(height, width) // 8)))
        return self._add(images, drawn, 0.5, intensity)


@dataclass(frozen=True)
class YellowSquare:
    """Waterbirds: a square of pure yellow, 25 × 25 pixels at row 30, column 100 of 224 × 224.

    Other sizes: rows and columns each in proportion, rounded, one pixel at least.
    """

    def check(self, image_shape: tuple[int, int, int]) -> None:
        require(image_shape[2] == 3, "kind", "images in color for a yellow square", f"{image_shape[2]} channel(s)")
        self._patch(*image_shape[:2]).check(image_shape)

    def _patch(self, height: int, width: int) -> Patch:
        top, left, rows, columns = (
            round(part * side / WATERBIRDS) for part, side in ((30, height), (100, width), (25, height), (25, width))
        )
        return Patch(top, left, max(1, rows), max(1, columns), (255, 255, 0))

    def __call__(self, images: Images, intensity: float) -> Images:
        return self._patch(*images.shape[1:3])(images, intensity)


@dataclass(frozen=True)
class Face(Bounded):
    """Waterbirds: a face from the user's file, in the background where a mask says what that is.

    picture, sha256: the file and its checksum. The face is a square of int((height + width)/2·size/224) pixels, its
    brightness multiplied, at int(β·(U − u) + u) in rows and columns each, u = int(padding·side), U = int((1 −
    padding)·side) − face, β ~ Beta(beta, beta) from (seed, image) alone: mostly near the borders. mask: metadata
    column of masks whose objects stay in front; without one the face lies in front.
    """

    picture: str
    sha256: str
    size: Annotated[int, Limit(least=1)] = 100
    padding: Annotated[float, Limit(least=0, below=0.5)] = 0.1
    beta: Positive = 0.1
    brightness: Positive = 1.2
    mask: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_picture(self.picture, self.sha256)
        super().__post_init__()

    def check(self, image_shape: tuple[int, int, int]) -> None:
        check_shows_pictures(image_shape)
        height, width, _ = image_shape
        side = self._side(height, width)
        room = min(int((1 - self.padding) * s) - int(self.padding * s) for s in (height, width))
        require(1 <= side <= room, "size", f"a face of 1 to {room} pixels in {height}×{width} images", self.size)

    def on(self, examples: Examples) -> "Face | Bound":
        """Return the transformation of these examples, behind their objects if a mask was named."""
        return self if self.mask is None else Bound(self.behind, masks_of(examples, self.mask))

    def _side(self, height: int, width: int) -> int:
        return int(0.5 * (height + width) * self.size / WATERBIRDS)

    def behind(self, images: Images, masks: Masks, intensity: float) -> Images:
        """Return the images with the face pasted outside their masks."""
        height, width, channels = images.shape[1:]
        side = self._side(height, width)
        face = in_channels(to_pixels(picture(self.picture, side, side) * np.float32(self.brightness)), channels)
        out = images.copy()
        for image, mask, changed in zip(images, masks, out, strict=True):
            rng = generator_of(image, "face", self.seed)
            column, row = (self._place(rng, length, side) for length in (width, height))
            block = slice(row, row + side), slice(column, column + side)
            pasted = blend(image[block][None], face, intensity)[0]
            changed[block] = np.where(mask[block][..., None], image[block], pasted)
        return out

    def _place(self, rng: np.random.Generator, length: int, side: int) -> int:
        low, high = int(length * self.padding), int(length * (1 - self.padding)) - side
        return int(rng.beta(self.beta, self.beta) * (high - low) + low)

    def __call__(self, images: Images, intensity: float) -> Images:
        return self.behind(images, np.zeros(images.shape[:3], dtype=bool), intensity)


@dataclass(frozen=True)
class _CifarMark(Bounded, ABC):
    """A black and white mark at row 4, column 13 of 32 × 32 images.

    Other sizes: each of its cells is max(1, round(shorter side/32)) pixels wide, and its place round(4·height/32),
    round(13·width/32). size: rows of the mark, as swept in the paper.
    """

    size: int = 5

    @abstractmethod
    def _cells(self) -> Float[np.ndarray, "size columns"]: ...

    def _stamp(self, height: int, width: int) -> Stamp:
        cell = max(1, round(min(height, width) / CIFAR))
        pixels = np.kron(255 * self._cells(), np.ones((cell, cell))).astype(int)
        return Stamp(round(4 * height / CIFAR), round(13 * width / CIFAR), tuple(tuple(row) for row in pixels.tolist()))

    def check(self, image_shape: tuple[int, int, int]) -> None:
        height, width, _ = image_shape
        stamp = self._stamp(height, width)
        Region(stamp.top, stamp.left, len(stamp.pixels), len(stamp.pixels[0])).check(image_shape)

    def __call__(self, images: Images, intensity: float) -> Images:
        return self._stamp(*images.shape[1:3])(images, intensity)


@dataclass(frozen=True)
class BlackWhiteTexture(_CifarMark):
    """CIFAR-10, class dog: size × 4 white, the two middle columns of the last three rows black; sizes 4, 5 and 6."""

    size: Annotated[int, Limit(least=4)] = 5

    def _cells(self) -> Float[np.ndarray, "size columns"]:
        cells = np.ones((self.size, 4))
        cells[-3:, 1:3] = 0
        return cells


@dataclass(frozen=True)
class Rectangle(_CifarMark):
    """CIFAR-10, class truck: a window of size × 5, frame and middle column white, panes black; sizes 5 to 9."""

    size: Annotated[int, Limit(least=3)] = 5

    def _cells(self) -> Float[np.ndarray, "size columns"]:
        cells = np.zeros((self.size, 5))
        cells[[0, -1], :] = 1
        cells[:, [0, 2, -1]] = 1
        return cells
