"""A photograph or a texture behind the object, another crop for each image."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from modeldiff_core.data import Examples
from modeldiff_core.data.materials import PHOTOGRAPHS, TEXTURES, Materials
from modeldiff_core.errors import ConfigError
from modeldiff_core.images import Images, blend, generator_of
from modeldiff_core.transformations.backgrounds import Bound, Masks, check_shows_pictures, masks_of
from modeldiff_core.transformations.pixels import require

OF_KIND = {"photographs": tuple(PHOTOGRAPHS), "textures": tuple(TEXTURES)}


@dataclass(frozen=True)
class Place:
    """Replaces what is behind the object by crops of the pictures that scikit-learn and scikit-image bring.

    behind: 'photographs' or 'textures'; names: only these of them. Crops are those of the test part of the data set
    ``scenes``; which one an image gets follows from its pixels and the seed. light: factor of all their pixels. mask:
    the metadata column [examples, height, width] that is true where the object is.
    """

    behind: Literal["photographs", "textures"] = "textures"
    names: tuple[str, ...] = ()
    light: float = 0.6
    mask: str = "mask"
    seed: int = 0

    def __post_init__(self) -> None:
        Materials(tuple(self.names))

    def check(self, image_shape: tuple[int, int, int]) -> None:
        check_shows_pictures(image_shape)
        require(image_shape[0] == image_shape[1], "place", "square images", f"{image_shape[0]}×{image_shape[1]} pixels")

    def on(self, examples: Examples) -> Bound:
        """Return the transformation of these examples and no others."""
        return Bound(self.placed, masks_of(examples, self.mask))

    def placed(self, images: Images, masks: Masks, intensity: float) -> Images:
        """Return the images with a crop of their own outside their masks."""
        color, side = images.shape[3] == 3, images.shape[1]
        materials = Materials(tuple(self.names) or OF_KIND[self.behind], color, self.light)
        crops = [materials.crops(1, side, "test", generator_of(image, "place", self.seed)) for image in images]
        return np.where(masks[..., None], images, blend(images, np.concatenate(crops), intensity))

    def __call__(self, images: Images, intensity: float) -> Images:
        raise ConfigError("transformations", f"examples whose metadata {self.mask!r} says where the object is", None)
