"""Random changes of training images, vectorised over examples.

Each is a pure function of an image and a row of uniform draws, so that what a model sees depends on (seed, model,
epoch) alone, however many models are trained together.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.errors import ConfigError


class Operation(Protocol):
    """What every augmentation can do."""

    def n_draws(self, height: int, width: int, channels: int) -> int:
        """Uniform draws in [0, 1) that one image uses up."""
        ...

    def __call__(
        self, images: Float[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Float[Tensor, "n height width channels"]:
        """The changed images; pixels are in 0..1 before normalisation."""
        ...


def _check_probability(key: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"recipe.augmentations.{key}", "a probability in [0, 1]", value)


@dataclass(frozen=True)
class Flip(Operation):
    """Mirror left and right with the given probability."""

    kind: Literal["flip"] = "flip"
    probability: float = 0.5

    def __post_init__(self) -> None:
        _check_probability("probability", self.probability)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        return 1

    def __call__(
        self, images: Float[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Float[Tensor, "n height width channels"]:
        mirrored = (draws[:, 0] < self.probability)[:, None, None, None]
        return torch.where(mirrored, images.flip(2), images)


@dataclass(frozen=True)
class Translate(Operation):
    """Shift by whole pixels, uniform in −pixels..pixels along each axis; what moves in is `fill` (0..1)."""

    kind: Literal["translate"] = "translate"
    pixels: int = 1
    fill: float = 0.0

    def __post_init__(self) -> None:
        if self.pixels < 1:
            raise ConfigError("recipe.augmentations.pixels", "1 or more", self.pixels)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        return 2

    def __call__(
        self, images: Float[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Float[Tensor, "n height width channels"]:
        n, height, width, channels = images.shape
        span = 2 * self.pixels + 1
        shift = (draws * span).floor().clamp(max=span - 1).long() - self.pixels
        padded = torch.nn.functional.pad(images, (0, 0, *(self.pixels,) * 4), value=self.fill)
        rows = torch.arange(height, device=images.device) + self.pixels - shift[:, :1]
        columns = torch.arange(width, device=images.device) + self.pixels - shift[:, 1:]
        flat = (rows[:, :, None] * padded.shape[2] + columns[:, None, :]).reshape(n, -1, 1)
        taken = padded.reshape(n, -1, channels).gather(1, flat.expand(-1, -1, channels))
        return taken.reshape(n, height, width, channels)


@dataclass(frozen=True)
class Erase(Operation):
    """Overwrite one fixed region with `fill` (0..1), with the given probability."""

    kind: Literal["erase"] = "erase"
    top: int = 0
    left: int = 0
    height: int = 1
    width: int = 1
    fill: float = 0.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        _check_probability("probability", self.probability)
        if min(self.top, self.left) < 0 or min(self.height, self.width) < 1:
            raise ConfigError("recipe.augmentations", "a region with height and width of 1 or more", self)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        if self.top + self.height > height or self.left + self.width > width:
            raise ConfigError("recipe.augmentations", f"a region inside {height}×{width} images", self)
        return 1

    def __call__(
        self, images: Float[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Float[Tensor, "n height width channels"]:
        erased = images.clone()
        erased[:, self.top : self.top + self.height, self.left : self.left + self.width] = self.fill
        return torch.where((draws[:, 0] < self.probability)[:, None, None, None], erased, images)


@dataclass(frozen=True)
class Noise(Operation):
    """Add independent Gaussian noise of the given standard deviation (pixels in 0..1) and clip to 0..1."""

    kind: Literal["noise"] = "noise"
    deviation: float = 0.1

    def __post_init__(self) -> None:
        if self.deviation <= 0:
            raise ConfigError("recipe.augmentations.deviation", "more than 0", self.deviation)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        return height * width * channels

    def __call__(
        self, images: Float[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Float[Tensor, "n height width channels"]:
        normal: Tensor = torch.special.ndtri(draws.clamp(1e-6, 1 - 1e-6)).reshape(images.shape)
        return (images + self.deviation * normal).clamp(0, 1)


Augmentation = Flip | Translate | Erase | Noise
