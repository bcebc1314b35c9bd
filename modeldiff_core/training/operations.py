"""What every change of an image can do, and how several are applied one after the other.

Each is a pure function of an image and a row of uniform draws, vectorised over examples, so that what a model sees
depends on (seed, model, epoch) alone: neither on the models trained beside it nor on where the images are read from.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Num
from torch import Tensor

from modeldiff_core.errors import Check
from modeldiff_core.images import unit

Shape = tuple[int, int, int]
"""Height, width and channels."""
check = Check("recipe.augmentations")
"""For the settings of an augmentation."""


@runtime_checkable
class Operation(Protocol):
    """A change of images; pixels are in 0..1 before normalisation."""

    @property
    def exact_on_bytes(self) -> bool:
        """Whether images of bytes may be given too, and come out as the bytes of the same result."""
        return False

    def n_draws(self, height: int, width: int, channels: int) -> int:
        """Uniform draws in [0, 1) that one training image uses up; raises ConfigError for images it cannot take."""
        ...

    def output_shape(self, height: int, width: int, channels: int) -> Shape:
        """The shape of what it gives, the same in training and at evaluation: the input's, unless it says otherwise."""
        return height, width, channels

    def __call__(
        self, images: Num[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Num[Tensor, "n out_height out_width channels"]:
        """The changed training images."""
        ...

    def at_evaluation(
        self, images: Num[Tensor, "n height width channels"]
    ) -> Num[Tensor, "n out_height out_width channels"]:
        """What it does to images that are not trained on: nothing, unless it decides their size."""
        return images


def draws_per_image(operations: Sequence[Operation], shape: Shape) -> int:
    """Uniform draws that one training image uses up, over all operations.

    Raises ConfigError if one of them cannot take what those before it give.
    """
    total = 0
    for operation in operations:
        total += operation.n_draws(*shape)
        shape = operation.output_shape(*shape)
    return total


def shape_after(operations: Sequence[Operation], shape: Shape) -> Shape:
    """Height, width and channels that the network gets, in training and at evaluation."""
    for operation in operations:
        shape = operation.output_shape(*shape)
    return shape


def augmented(
    operations: Sequence[Operation],
    images: Num[Tensor, "n height width channels"],
    draws: Float[Tensor, "n draws"],
) -> Float[Tensor, "n out_height out_width channels"]:
    """Training images (0..1) after all operations in turn.

    The images are bytes or pixels in 0..1. From bytes the result is the same, and a fraction of the work where
    operations that move pixels come first: these then move a quarter of the memory.
    """
    return unit(changed(operations, images, draws))


def changed(
    operations: Sequence[Operation],
    images: Num[Tensor, "n height width channels"],
    draws: Float[Tensor, "n draws"],
) -> Num[Tensor, "n out_height out_width channels"]:
    """Training images after all operations in turn, which take their draws from left to right.

    Bytes stay bytes as far as all operations are exact on them.
    """
    for operation in operations:
        images = images if operation.exact_on_bytes else unit(images)
        own = operation.n_draws(images.shape[1], images.shape[2], images.shape[3])
        images, draws = operation(images, draws[:, :own]), draws[:, own:]
    return images


def evaluated(
    operations: Sequence[Operation], images: Num[Tensor, "n height width channels"]
) -> Float[Tensor, "n out_height out_width channels"]:
    """Images (0..1) as they are shown to a trained network: only what decides their size is applied.

    The images are bytes or pixels in 0..1.
    """
    return unit(sized(operations, images))


def sized(
    operations: Sequence[Operation], images: Num[Tensor, "n height width channels"]
) -> Num[Tensor, "n out_height out_width channels"]:
    """The same; bytes stay bytes as far as all operations are exact on them."""
    for operation in operations:
        images = operation.at_evaluation(images if operation.exact_on_bytes else unit(images))
    return images
