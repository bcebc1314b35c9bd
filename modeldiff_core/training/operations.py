"""The protocol of operations on images, and chains of them.

Each operation is a pure function of an image and a row of uniform draws, vectorized over examples, so that the images
a model sees depend on (seed, model, epoch) alone: neither on models trained with it nor on where images are read from.
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
    """An operation on images; pixels are in 0..1 before normalization."""

    @property
    def exact_on_bytes(self) -> bool:
        """Whether images of bytes are accepted too and give the bytes of the same result."""
        return False

    def n_draws(self, height: int, width: int, channels: int) -> int:
        """Return the uniform draws in [0, 1) that one training image consumes; raise ConfigError for unfit images."""
        ...

    def output_shape(self, height: int, width: int, channels: int) -> Shape:
        """Return the shape of the result in training and at evaluation; by default that of the input."""
        return height, width, channels

    def __call__(
        self, images: Num[Tensor, "n height width channels"], draws: Float[Tensor, "n draws"]
    ) -> Num[Tensor, "n out_height out_width channels"]:
        """Return the changed training images."""
        ...

    def at_evaluation(
        self, images: Num[Tensor, "n height width channels"]
    ) -> Num[Tensor, "n out_height out_width channels"]:
        """Return images prepared for evaluation: unchanged, unless the operation decides their size."""
        return images


def draws_per_image(operations: Sequence[Operation], shape: Shape) -> int:
    """Return the uniform draws that one training image consumes over all operations.

    Raises:
        ConfigError: If an operation cannot take the images that the previous ones return.
    """
    total = 0
    for operation in operations:
        total += operation.n_draws(*shape)
        shape = operation.output_shape(*shape)
    return total


def shape_after(operations: Sequence[Operation], shape: Shape) -> Shape:
    """Return height, width and channels of the network's images, in training and at evaluation."""
    for operation in operations:
        shape = operation.output_shape(*shape)
    return shape


def augmented(
    operations: Sequence[Operation],
    images: Num[Tensor, "n height width channels"],
    draws: Float[Tensor, "n draws"],
) -> Float[Tensor, "n out_height out_width channels"]:
    """Return training images (0..1) after all operations in turn.

    The images are bytes or pixels in 0..1. Bytes give the same result for a fraction of the work where operations
    that move pixels come first, since these then move a quarter of the memory.
    """
    return unit(changed(operations, images, draws))


def changed(
    operations: Sequence[Operation],
    images: Num[Tensor, "n height width channels"],
    draws: Float[Tensor, "n draws"],
) -> Num[Tensor, "n out_height out_width channels"]:
    """Return training images after all operations in turn, which take their draws from left to right.

    Bytes stay bytes as long as all operations are exact on them.
    """
    for operation in operations:
        images = images if operation.exact_on_bytes else unit(images)
        count = operation.n_draws(images.shape[1], images.shape[2], images.shape[3])
        images, draws = operation(images, draws[:, :count]), draws[:, count:]
    return images


def evaluated(
    operations: Sequence[Operation], images: Num[Tensor, "n height width channels"]
) -> Float[Tensor, "n out_height out_width channels"]:
    """Return images (0..1) as a trained network gets them: only operations that decide their size are applied.

    The images are bytes or pixels in 0..1.
    """
    return unit(sized(operations, images))


def sized(
    operations: Sequence[Operation], images: Num[Tensor, "n height width channels"]
) -> Num[Tensor, "n out_height out_width channels"]:
    """Return the same as ``evaluated``; bytes stay bytes as long as all operations are exact on them."""
    for operation in operations:
        images = operation.at_evaluation(images if operation.exact_on_bytes else unit(images))
    return images
