"""Transformations that know what is behind the object, from a mask that travels with the examples."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.images import Images, blend, luminance
from modeldiff_core.transformations.patches import Pixel, check_color, require_color
from modeldiff_core.transformations.pictures import RGB, check_picture, picture
from modeldiff_core.transformations.pixels import AnyShape, require

Masks = Bool[np.ndarray, "images height width"]
"""True where the object is."""


def masks_of(examples: Examples, column: str) -> Masks:
    """Return the masks in a metadata column [examples, height, width]; raises ConfigError if there is none."""
    shape = examples.images.shape[:3]
    found = examples.metadata.get(column)
    require(
        found is not None and found.shape == shape,
        "mask",
        f"a metadata column of masks {list(shape[1:])}",
        column if found is None else f"{column} of shape {list(found.shape[1:])}",
    )
    return np.asarray(found).astype(bool)


def check_shows_pictures(image_shape: tuple[int, int, int]) -> None:
    """Raise ConfigError for images that are neither gray nor RGB."""
    require(image_shape[2] in (1, 3), "picture", "gray or RGB images", f"images of {image_shape[2]} channels")


def in_channels(pixels: RGB, channels: int) -> np.ndarray:
    """Return a picture in as many channels as the images have; on gray images its luminance."""
    return pixels if channels == 3 else luminance(pixels, np.float64)[..., None]


@dataclass(frozen=True)
class Bound(AnyShape):
    """A transformation of certain images, whose masks it was given."""

    paint: Callable[[Images, Masks, float], Images]
    masks: Masks

    def __call__(self, images: Images, intensity: float) -> Images:
        if len(images) != len(self.masks):
            raise ConfigError("transformations", f"the {len(self.masks)} images that the masks are of", len(images))
        return self.paint(images, self.masks, intensity)


@dataclass(frozen=True)
class Background:
    """Replaces what is behind the object.

    value: by one color, 0..255 or red, green and blue; or picture, sha256: by a picture from a file, named with its
    checksum. mask: the metadata column [examples, height, width] that is true where the object is.
    """

    value: Pixel = 127
    picture: str | None = None
    sha256: str = ""
    mask: str = "mask"

    def __post_init__(self) -> None:
        require_color("value", self.value)
        if self.picture is not None:
            check_picture(self.picture, self.sha256)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        check_color(self.value, image_shape)
        if self.picture is not None:
            check_shows_pictures(image_shape)

    def on(self, examples: Examples) -> Bound:
        """Return the transformation of these examples and no others."""
        return Bound(self.behind, masks_of(examples, self.mask))

    def behind(self, images: Images, masks: Masks, intensity: float) -> Images:
        """Return the images with everything outside their masks replaced."""
        height, width, channels = images.shape[1:]
        other = np.asarray(self.value)
        if self.picture is not None:
            other = in_channels(picture(self.picture, height, width), channels)
        return np.where(masks[..., None], images, blend(images, other, intensity))

    def __call__(self, images: Images, intensity: float) -> Images:
        raise ConfigError("transformations", f"examples whose metadata {self.mask!r} says where the object is", None)
