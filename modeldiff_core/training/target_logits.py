"""Logits of the targets, whose images may not fit the memory of the device."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from modeldiff_core.data import Examples
from modeldiff_core.training.batches import ImageSource
from modeldiff_core.training.devices import available_device
from modeldiff_core.training.ffcv_source import BetonSource, choose_source
from modeldiff_core.training.protocol import Execution, TrainedModels


@runtime_checkable
class StreamingModels(TrainedModels, Protocol):
    """Models that evaluate images batch by batch, as a source yields them."""

    def streamed_logits(
        self, source: ImageSource, targets: int, image_shape: tuple[int, int, int]
    ) -> Float[np.ndarray, "models targets classes"]:
        """Return bit for bit the ``logits`` of the source's first `targets` images."""
        ...


def target_logits(
    trained: TrainedModels, targets: Examples, execution: Execution
) -> Float[np.ndarray, "models targets classes"]:
    """Return float32 logits of every model on every target.

    FFCV reads the images if they exceed ``execution.resident_share``. Models that take only arrays, and targets without
    a beton, are given the array.
    """
    height, width, channels = targets.images.shape[1:]
    if targets.beton is None or not isinstance(trained, StreamingModels):
        return trained.logits(targets.images)
    device = available_device(execution.device)
    if choose_source(targets.images.nbytes, device, execution.resident_share) == "resident":
        return trained.logits(targets.images)
    source = BetonSource(Path(targets.beton), device, execution.ffcv_workers)
    return trained.streamed_logits(source, len(targets), (height, width, channels))
