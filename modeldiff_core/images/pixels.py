"""The arithmetic of pixels: add, blend, round, and stay within the range."""

import hashlib
from typing import overload

import numpy as np
import torch
from jaxtyping import Float, Num, UInt8
from torch import Tensor

from modeldiff_core.identity import generator

Images = UInt8[np.ndarray, "images height width channels"]
"""Images of bytes, 0..255, as numpy holds them."""


def to_pixels(values: Num[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Return the nearest whole pixel value, min(255, max(0, round(x)))."""
    pixels: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def unit(images: Num[Tensor, "*batch height width channels"]) -> Float[Tensor, "*batch height width channels"]:
    """Return bytes x as pixels x/255 in 0..1, and others as they are."""
    return images if images.is_floating_point() else images.float().div_(255)


def byte_level(level: float, images: Tensor) -> float | int:
    """Return a level of 0..1 on the scale of images [..., height, width, channels]: round(255·level) for bytes.

    Of the images' own type, which torch.where would otherwise turn to floats.
    """
    return level if images.is_floating_point() else round(level * 255)


@overload
def add(images: np.ndarray, change: np.ndarray) -> np.ndarray: ...
@overload
def add(images: Tensor, change: Tensor) -> Tensor: ...
def add(images: np.ndarray | Tensor, change: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """Return x + change [images, height, width, channels], kept within the range.

    Bytes in numpy are added in the precision of the change, rounded and clipped to 0..255; pixels in torch are
    clipped to 0..1. The change is broadcast to the images.
    """
    if isinstance(images, Tensor):
        return torch.as_tensor(images + change).clamp(0, 1)
    return to_pixels(images + np.asarray(change))


def blend(
    images: UInt8[np.ndarray, "images rows columns channels"], other: np.ndarray | int, share: float
) -> UInt8[np.ndarray, "images rows columns channels"]:
    """Return (1 − share)·images + share·other, rounded.

    other: pixels 0..255 that are broadcast to the images, such as [height, width, channels], [channels] or one number.
    """
    part = np.float32(share)
    return to_pixels((1 - part) * images.astype(np.float32) + part * np.asarray(other, dtype=np.float32))


def generator_of(image: UInt8[np.ndarray, "height width channels"], purpose: str, seed: int) -> np.random.Generator:
    """Return random numbers for one image: a pure function of purpose, seed and pixels, whatever its batch."""
    content = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).hexdigest()
    return generator(purpose, seed, content)
