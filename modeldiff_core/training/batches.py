"""Where a trainer gets its images from, batch by batch, in an order that it decides."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt8
from torch import Tensor


@runtime_checkable
class ImageSource(Protocol):
    """Images by their position in the dataset, as they are before augmentation."""

    def batches(
        self, order: Int[np.ndarray, " subset"], batch_size: int
    ) -> Iterator[UInt8[Tensor, "batch height width channels"]]:
        """Images of the positions in `order`, in that order, on the device; the last batch may be smaller."""
        ...


def rows_at(values: Shaped[Tensor, "examples ..."], positions: Int[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Entries of these positions, by whole rows of memory: torch's indexing gathers number by number."""
    rows = values.flatten(1).index_select(0, positions.flatten())
    return rows.view(*positions.shape, *values.shape[1:])


class Resident:
    """All images as uint8 on the device."""

    def __init__(self, images: UInt8[np.ndarray, "examples height width channels"], device: torch.device) -> None:
        self.images = torch.from_numpy(images).to(device)

    def batches(
        self, order: Int[np.ndarray, " subset"], batch_size: int
    ) -> Iterator[UInt8[Tensor, "batch height width channels"]]:
        positions = torch.from_numpy(order).to(self.images.device)
        for part in positions.split(batch_size):
            yield rows_at(self.images, part)
