"""Checks that transformations share: of colors, of regions, of the images that they suit."""

from dataclasses import dataclass
from typing import Annotated

from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.images import Block
from modeldiff_core.limits import Limit, check_limits

require = Check("transformations")
"""For the settings of a transformation."""


PixelValue = Annotated[int, Limit(least=0, most=255, what="a pixel value")]
Place = Annotated[int, Limit(least=0)]
"""A row or a column."""
Positive = Annotated[float, Limit(above=0)]
Opacity = Annotated[float, Limit(above=0, most=1)]


class Bounded:
    """A transformation whose settings have limits, which are checked when it is made."""

    def __post_init__(self) -> None:
        check_limits(self, require)


class AnyShape(Bounded):
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
