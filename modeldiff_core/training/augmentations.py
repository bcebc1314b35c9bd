"""Random changes of training images that leave their size as it is, and the list of all changes there are."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Num
from torch import Tensor

from modeldiff_core.images import Block, add, byte_level, shift_each
from modeldiff_core.limits import Limit, check_limits
from modeldiff_core.training.crops import CentreCrop, RandomResizedCrop, Resize
from modeldiff_core.training.operations import Operation, check


def _whole(fill: float) -> bool:
    """Return whether a byte stands for this fill exactly."""
    return (fill * 255).is_integer()


Probability = Annotated[float, Limit(least=0, most=1, what="a probability")]


@dataclass(frozen=True)
class Flip(Operation):
    """Mirror left and right with the given probability."""

    kind: Literal["flip"] = "flip"
    probability: Probability = 0.5

    def __post_init__(self) -> None:
        check_limits(self, check)

    @property
    def exact_on_bytes(self) -> bool:
        return True

    def n_draws(self, height: int, width: int, channels: int) -> int:
        return 1

    def __call__(
        self, images: Num[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Num[Tensor, "n height width channels"]:
        mirrored = draws[:, 0] < self.probability
        at = torch.arange(len(images), device=images.device) + len(images) * mirrored
        return torch.cat([images, images.flip(2)]).index_select(0, at)


@dataclass(frozen=True)
class Translate(Operation):
    """Shift by whole pixels, uniform in −pixels..pixels along each axis.

    mode: what moves in is `fill` (0..1), or with 'reflect' the image mirrored at its outermost pixels.
    """

    kind: Literal["translate"] = "translate"
    pixels: Annotated[int, Limit(least=1)] = 1
    fill: float = 0.0
    mode: Literal["fill", "reflect"] = "fill"

    def __post_init__(self) -> None:
        check_limits(self, check)

    @property
    def exact_on_bytes(self) -> bool:
        return self.mode == "reflect" or _whole(self.fill)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        largest = min(height, width) - 1
        if self.mode == "reflect":
            check(self.pixels <= largest, "pixels", f"1 to {largest} for reflection", self.pixels)
        return 2

    def __call__(
        self, images: Num[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Num[Tensor, "n height width channels"]:
        span = 2 * self.pixels + 1
        shifts = (draws * span).floor().clamp(max=span - 1).long() - self.pixels
        return shift_each(images, shifts, self.pixels, self.fill if self.mode == "fill" else None)


@dataclass(frozen=True)
class Cutout(Operation):
    """Overwrite a random square of size × size pixels, wholly inside the image, with `fill` (0..1)."""

    kind: Literal["cutout"] = "cutout"
    size: Annotated[int, Limit(least=1)] = 4
    fill: float = 0.0

    def __post_init__(self) -> None:
        check_limits(self, check)

    @property
    def exact_on_bytes(self) -> bool:
        return _whole(self.fill)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        check(self.size <= min(height, width), "size", f"a square inside {height}×{width} images", self.size)
        return 2

    def __call__(
        self, images: Num[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Num[Tensor, "n height width channels"]:
        covered = []
        for axis, pixels in enumerate(images.shape[1:3]):
            places = pixels - self.size + 1
            start = (draws[:, axis : axis + 1] * places).long().clamp(max=places - 1)
            at = torch.arange(pixels, device=images.device)
            covered.append((at >= start) & (at < start + self.size))
        square = covered[0][:, :, None] & covered[1][:, None, :]
        return torch.where(square[..., None], byte_level(self.fill, images), images)


@dataclass(frozen=True)
class Erase(Operation):
    """Overwrite one fixed region with `fill` (0..1), with the given probability."""

    kind: Literal["erase"] = "erase"
    top: int = 0
    left: int = 0
    height: int = 1
    width: int = 1
    fill: float = 0.0
    probability: Probability = 1.0

    def __post_init__(self) -> None:
        check_limits(self, check)
        holds = min(self.top, self.left) >= 0 and min(self.height, self.width) >= 1
        check(holds, "", "a region with height and width of 1 or more", self)

    @property
    def _block(self) -> Block:
        return Block(self.top, self.left, self.height, self.width)

    @property
    def exact_on_bytes(self) -> bool:
        return _whole(self.fill)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        check(self._block.inside(height, width), "", f"a region inside {height}×{width} images", self)
        return 1

    def __call__(
        self, images: Num[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Num[Tensor, "n height width channels"]:
        erased = images.clone()
        erased[self._block.index] = byte_level(self.fill, images)
        return torch.where((draws[:, 0] < self.probability)[:, None, None, None], erased, images)


@dataclass(frozen=True)
class Noise(Operation):
    """Add independent Gaussian noise of the given standard deviation (pixels in 0..1) and clip to 0..1."""

    kind: Literal["noise"] = "noise"
    deviation: Annotated[float, Limit(above=0)] = 0.1

    def __post_init__(self) -> None:
        check_limits(self, check)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        return height * width * channels

    def __call__(
        self, images: Float[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Float[Tensor, "n height width channels"]:
        normal: Tensor = torch.special.ndtri(draws.clamp(1e-6, 1 - 1e-6)).reshape(images.shape)
        return add(images, self.deviation * normal)


Augmentation = Flip | Translate | Erase | Cutout | Noise | Resize | CentreCrop | RandomResizedCrop
"""Told apart by `kind`."""
