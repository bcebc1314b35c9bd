"""Changes that decide the size of an image: they also apply at evaluation, without chance."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Num
from torch import Tensor

from modeldiff_core.images import RECTANGLE_DRAWS, Rectangles, center_crop, random_rectangles, resize, window
from modeldiff_core.training.operations import Operation, Shape, check


@dataclass(frozen=True)
class Resize(Operation):
    """Stretch to height × width pixels, in training and at evaluation."""

    kind: Literal["resize"] = "resize"
    height: int = 32
    width: int = 32

    def __post_init__(self) -> None:
        check(min(self.height, self.width) >= 1, "", "a height and width of 1 or more", self)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        return 0

    def output_shape(self, height: int, width: int, channels: int) -> Shape:
        return self.height, self.width, channels

    def __call__(
        self, images: Float[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Float[Tensor, "n out_height out_width channels"]:
        return self.at_evaluation(images)

    def at_evaluation(
        self, images: Float[Tensor, "n height width channels"]
    ) -> Float[Tensor, "n out_height out_width channels"]:
        return resize(images, self.height, self.width)


@dataclass(frozen=True)
class CentreCrop(Operation):
    """Keep the central height × width pixels, in training and at evaluation; an odd rest is cut at the far side."""

    kind: Literal["centre_crop"] = "centre_crop"
    height: int = 32
    width: int = 32

    def __post_init__(self) -> None:
        check(min(self.height, self.width) >= 1, "", "a height and width of 1 or more", self)

    @property
    def exact_on_bytes(self) -> bool:
        return True

    def n_draws(self, height: int, width: int, channels: int) -> int:
        self.output_shape(height, width, channels)
        return 0

    def output_shape(self, height: int, width: int, channels: int) -> Shape:
        check(self.height <= height and self.width <= width, "", f"a crop inside {height}×{width} images", self)
        return self.height, self.width, channels

    def __call__(
        self, images: Num[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Num[Tensor, "n out_height out_width channels"]:
        return self.at_evaluation(images)

    def at_evaluation(
        self, images: Num[Tensor, "n height width channels"]
    ) -> Num[Tensor, "n out_height out_width channels"]:
        return center_crop(images, self.height, self.width)


@dataclass(frozen=True)
class RandomResizedCrop(Operation):
    """A random rectangle of the image, resized to height × width pixels (torchvision's algorithm).

    scale: range of the rectangle's share of the area, uniform; ratio: range of its width / height, log-uniform. The
    first of ten such rectangles that fits is placed uniformly; if none does, the largest central one within the
    ratios is taken. Always 22 draws: area and ratio of ten tries, then top and left.
    At evaluation: the central height × width pixels, or the whole image resized where it is smaller than that; put a
    `Resize` before it where images are stored much larger.
    """

    kind: Literal["random_resized_crop"] = "random_resized_crop"
    height: int = 32
    width: int = 32
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        check(min(self.height, self.width) >= 1, "", "a height and width of 1 or more", self)
        check(0 < self.scale[0] <= self.scale[1] <= 1, "scale", "a range within (0, 1]", self.scale)
        check(0 < self.ratio[0] <= self.ratio[1], "ratio", "a range above 0", self.ratio)

    def n_draws(self, height: int, width: int, channels: int) -> int:
        return RECTANGLE_DRAWS

    def output_shape(self, height: int, width: int, channels: int) -> Shape:
        return self.height, self.width, channels

    def rectangles(self, draws: Float[Tensor, "n draws"], height: int, width: int) -> Rectangles:
        """Return the rectangle of each image of that height and width."""
        return random_rectangles(draws, (height, width), self.scale, self.ratio)

    def __call__(
        self, images: Float[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Float[Tensor, "n out_height out_width channels"]:
        return window(images, self.rectangles(draws, images.shape[1], images.shape[2]), self.height, self.width)

    def at_evaluation(
        self, images: Float[Tensor, "n height width channels"]
    ) -> Float[Tensor, "n out_height out_width channels"]:
        fits = self.height <= images.shape[1] and self.width <= images.shape[2]
        return (center_crop if fits else resize)(images, self.height, self.width)
