"""The constants that normalize pixels: given by the recipe, or computed from each model's subset."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from modeldiff_core.errors import ConfigError
from modeldiff_core.training.settings import Constant, Recipe

SMALLEST_SCALE = 1 / 255
"""Lower bound of the standard deviation of a channel over a subset: one gray level."""


@dataclass(frozen=True)
class Normalization:
    """The map (pixel − mean)/scale of pixels in 0..1.

    Attributes:
        mean: One row for all models or one for each; one column for all channels or one for each.
        scale: The same.
    """

    mean: Float[Tensor, "rows columns"]
    scale: Float[Tensor, "rows columns"]

    def __call__(
        self, pixels: Float[Tensor, "models batch height width channels"]
    ) -> Float[Tensor, "more_models batch height width channels"]:
        """Return the inputs of each model's network; pixels with one row are shared by all models."""
        return pixels.sub(self.mean[:, None, None, None]).div_(self.scale[:, None, None, None])

    def of(self, row: int) -> "Normalization":
        """Return the constants of one model."""
        at = slice(None) if len(self.mean) == 1 else slice(row, row + 1)
        return Normalization(self.mean[at], self.scale[at])

    def rows(self, at: slice) -> "Normalization":
        """Return the constants of some of the models."""
        return self if len(self.mean) == 1 else Normalization(self.mean[at], self.scale[at])


def from_subsets(recipe: Recipe) -> bool:
    """Return whether a constant is computed from each model's subset."""
    return "subset" in (recipe.mean, recipe.scale)


def normalization_of(
    recipe: Recipe,
    images: UInt8[np.ndarray, "train height width channels"],
    masks: Bool[np.ndarray, "models train"],
    device: torch.device,
) -> Normalization:
    """Return the recipe's constants; `subset` ones are statistics of all pixels of the images that a mask leaves in."""
    if not from_subsets(recipe):
        return fixed_normalization(recipe, device)
    # Sums of each image first: a subset's statistics are then sums over its images, exact in float64.
    pixels = images.shape[1] * images.shape[2]
    sums = np.stack([image.sum((0, 1), dtype=np.int64) for image in images]).astype(np.float64)
    squares = np.stack([np.square(image, dtype=np.int64).sum((0, 1)) for image in images]).astype(np.float64)
    count = masks.sum(1, keepdims=True) * pixels
    mean = masks @ sums / count
    scale = np.sqrt(masks @ squares / count - mean**2) / 255
    fixed = Recipe(mean=_fixed(recipe.mean), scale=_fixed(recipe.scale))
    constants = fixed_normalization(fixed, device)
    rows = {"mean": mean / 255, "scale": np.maximum(scale, SMALLEST_SCALE)}
    return Normalization(
        *(
            torch.from_numpy(rows[name].astype(np.float32)).to(device)
            if getattr(recipe, name) == "subset"
            else getattr(constants, name).expand(len(masks), -1)
            for name in ("mean", "scale")
        )
    )


def fixed_normalization(recipe: Recipe, device: torch.device) -> Normalization:
    """Return the constants of a recipe that computes none of them from subsets."""
    rows = [
        torch.tensor([[value] if isinstance(value, int | float) else list(value)], dtype=torch.float32, device=device)
        for value in (recipe.mean, recipe.scale)
        if value != "subset"
    ]
    return Normalization(rows[0], rows[1])


def _fixed(value: Constant) -> Constant:
    return 1.0 if value == "subset" else value


def check_channels(recipe: Recipe, channels: int) -> None:
    """Raise ConfigError if there is neither one constant nor one for each channel."""
    for name, value in (("mean", recipe.mean), ("scale", recipe.scale)):
        if isinstance(value, tuple) and len(value) not in (1, channels):
            raise ConfigError(f"recipe.{name}", f"one number, or one for each of {channels} channels", list(value))
