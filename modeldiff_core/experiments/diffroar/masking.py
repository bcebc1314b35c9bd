"""Masks of the values that rank highest and lowest, and what takes the place of all others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import gaussian_filter

from modeldiff_core.errors import Check
from modeldiff_core.limits import Limit, check_limits

Inputs = Float[np.ndarray, "examples height width channels"]
TrainInputs = Float[np.ndarray, "train height width channels"]
Order = Int[np.ndarray, "examples values"]
Orders = tuple[np.ndarray, np.ndarray]
"""Those of the training and of the test images."""
Kept = Bool[np.ndarray, "examples values"]
FillKind = Literal["mean", "constant", "marginal", "blur"]
SIDES = "top", "bottom"
WAYS = "kept", "replaced", "mask"


@dataclass(frozen=True)
class Fill:
    """What takes the place of removed values.

    kind: 'mean', the mean of the channel over all training images and pixels; 'constant', the same number everywhere;
    'marginal', for each value one of the values that training images have there, drawn by itself; 'blur', the image
    itself smoothed by a Gaussian. constant: the number. blur: the Gaussian's standard deviation in pixels.
    """

    kind: FillKind = "mean"
    constant: float = 0.0
    blur: Annotated[float, Limit(above=0)] = 2.0

    def __post_init__(self) -> None:
        check_limits(self, Check("fill"))

    def of(self, inputs: Inputs, train: TrainInputs, random: np.random.Generator) -> Inputs:
        """Return what removed values of the inputs become."""
        if self.kind == "mean":
            return np.broadcast_to(train.mean((0, 1, 2)), inputs.shape).astype(np.float32)
        if self.kind == "constant":
            return np.full_like(inputs, self.constant)
        if self.kind == "blur":
            return np.asarray(gaussian_filter(inputs, (0, self.blur, self.blur, 0)))
        return marginal(inputs.shape, train, random)


def marginal(shape: tuple[int, ...], train: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return inputs whose every value is drawn, by itself, from those that training images have in its place."""
    values = int(np.prod(shape[1:]))
    flat = train.reshape(len(train), values)
    rows = random.integers(0, len(train), (shape[0], values))
    return np.asarray(flat[rows, np.arange(values)].reshape(shape))


def kept_of(order: Order, count: int, side: str) -> Kept:
    """Return the mask of the `count` values that rank highest ('top') or lowest ('bottom') in each example."""
    mask = np.zeros(order.shape, bool)
    chosen = order[:, :count] if side == "top" else order[:, -count:]
    np.put_along_axis(mask, chosen.astype(np.int64), True, axis=1)
    return mask


def masked(
    inputs: Inputs, kept: Kept, fill: Fill, train: TrainInputs, random: np.random.Generator
) -> Mapping[str, Inputs]:
    """Return the images that networks are trained on again.

    'kept': the kept values, and the fill elsewhere. 'replaced': the same, but with marginal draws in place of the kept
    values, so that the mask and the fill stay and what was kept is gone. 'mask': the mask itself, 1 where kept.
    """
    mask, other = kept.reshape(inputs.shape), fill.of(inputs, train, random)
    drawn = marginal(inputs.shape, train, random)
    return {
        "kept": np.where(mask, inputs, other),
        "replaced": np.where(mask, drawn, other),
        "mask": mask.astype(np.float32),
    }
