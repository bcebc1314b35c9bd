"""What every transformation does with pixels: blend, round, and stay inside the image."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator

Images = UInt8[np.ndarray, "images height width channels"]


def to_pixels(values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Round to the nearest whole pixel value in 0..255."""
    pixels: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def blend(
    images: UInt8[np.ndarray, "images rows columns channels"], other: np.ndarray | int, intensity: float
) -> UInt8[np.ndarray, "images rows columns channels"]:
    """(1 − intensity)·images + intensity·other, rounded; `other` is broadcast to the images."""
    share = np.float32(intensity)
    return to_pixels((1 - share) * images.astype(np.float32) + share * np.asarray(other, dtype=np.float32))


def require(holds: bool, field: str, expected: str, got: object) -> None:
    """Raise ConfigError for the field of a transformation that does not hold what is expected."""
    if not holds:
        raise ConfigError(f"transformations.{field}", expected, got)


def require_pixel(field: str, value: int) -> None:
    """Raise ConfigError unless the field is a pixel value."""
    require(0 <= value <= 255, field, "a pixel value in 0..255", value)


def generator_of(image: UInt8[np.ndarray, "height width channels"], purpose: str, seed: int) -> np.random.Generator:
    """Random numbers for one image: a pure function of purpose, seed and pixels, whatever batch the image stands in."""
    content = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).hexdigest()
    return generator(purpose, seed, content)


class AnyShape:
    """A transformation that suits images of every size and number of channels."""

    def check(self, image_shape: tuple[int, int, int]) -> None:
        pass


@dataclass(frozen=True)
class Region:
    """A block of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        for field in ("top", "left"):
            require(getattr(self, field) >= 0, field, "0 or more pixels", getattr(self, field))
        for field in ("height", "width"):
            require(getattr(self, field) >= 1, field, "1 pixel or more", getattr(self, field))

    def check(self, image_shape: tuple[int, int, int]) -> None:
        height, width, _ = image_shape
        if self.top + self.height > height or self.left + self.width > width:
            raise ConfigError("transformations", f"a block inside {height}×{width} images", self)

    @property
    def block(self) -> tuple[slice, slice, slice]:
        """Index of the block's pixels in images."""
        return slice(None), slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)
