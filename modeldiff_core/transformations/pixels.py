"""Checks that transformations share: of colors, of regions, of the images that they suit."""

from dataclasses import dataclass

from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.images import Block

require = Check("transformations")
"""For the settings of a transformation."""


def require_pixel(field: str, value: int) -> None:
    """Raise ConfigError unless the field is a pixel value."""
    require(0 <= value <= 255, field, "a pixel value in 0..255", value)


class AnyShape:
    """A transformation that suits images of every size and number of channels."""

    def check(self, image_shape: tuple[int, int, int]) -> None:
        pass


@dataclass(frozen=True)
class Region(Block):
    """A block of an image, in pixels."""

    def __post_init__(self) -> None:
        for field in ("top", "left"):
            require(getattr(self, field) >= 0, field, "0 or more pixels", getattr(self, field))
        for field in ("height", "width"):
            require(getattr(self, field) >= 1, field, "1 pixel or more", getattr(self, field))

    def check(self, image_shape: tuple[int, int, int]) -> None:
        height, width, _ = image_shape
        if not self.inside(height, width):
            raise ConfigError("transformations", f"a block inside {height}×{width} images", self)
