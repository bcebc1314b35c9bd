"""Sources of images: they give a trainer its batches in the order that it chooses."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt8
from torch import Tensor


@runtime_checkable
class ImageSource(Protocol):
    """A source of images by their position in the dataset, before augmentation."""

    def batches(
        self, order: Int[np.ndarray, " subset"], batch_size: int
    ) -> Iterator[UInt8[Tensor, "batch height width channels"]]:
        """Yield the images at the positions in `order`, in that order, on the device; the last batch may be smaller."""
        ...


def rows_at(values: Shaped[Tensor, "examples ..."], positions: Int[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Return the entries at these positions, copied by whole rows: torch's indexing gathers number by number."""
    rows = values.flatten(1).index_select(0, positions.flatten())
    return rows.view(*positions.shape, *values.shape[1:])


class Resident:
    """A source that keeps all images as uint8 on the device."""

    def __init__(self, images: UInt8[np.ndarray, "examples height width channels"], device: torch.device) -> None:
        self.images = torch.from_numpy(images).to(device)

    def batches(
        self, order: Int[np.ndarray, " subset"], batch_size: int
    ) -> Iterator[UInt8[Tensor, "batch height width channels"]]:
        positions = torch.from_numpy(order).to(self.images.device)
        for part in positions.split(batch_size):
            yield rows_at(self.images, part)
