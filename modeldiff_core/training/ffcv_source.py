"""Images from an FFCV beton, for data that does not fit the memory of a device.

FFCV takes seconds to compile a loader, so a process makes one per beton and points it at the subset of each model in
turn. The loader returns stored pixels only: augmentation and normalization are those of images on the device, so that
both paths train the same models.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from queue import Empty
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from modeldiff_core.data.betons import IMAGE, Beton, ffcv_module, open_beton
from modeldiff_core.data.memory import machine_memory
from modeldiff_core.errors import ConfigError

RESIDENT_SHARE = 0.5
"""Largest share of a device's memory that images may take: the rest is for models and activations."""

BATCHES_AHEAD = 2
"""Batches that a loader prepares ahead of training."""


def check_workers(workers: int) -> None:
    """Raise ConfigError for less than one thread and for more threads than cores, which FFCV cannot start."""
    cores = len(os.sched_getaffinity(0))
    if not 1 <= workers <= cores:
        raise ConfigError("runner.ffcv_workers", f"1 to {cores}, the cores this process may use", workers)


class BetonSource:
    """A source of the images of a beton; it pickles as the beton's path, so that worker processes can receive one.

    Args:
        path: The beton.
        device: Where the batches go.
        workers: Threads that copy or decode; each occupies a core.

    Raises:
        ConfigError: For more workers than cores, and without FFCV.
        DataError: For a damaged file.
    """

    def __init__(self, path: Path, device: torch.device, workers: int = 1) -> None:
        check_workers(workers)
        self.path, self.device, self.workers = path.resolve(), device, workers
        self._opened()

    def __len__(self) -> int:
        return len(self._opened()[0])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self._opened()[0].image_shape

    def batches(
        self, order: Int[np.ndarray, " subset"], batch_size: int
    ) -> Iterator[UInt8[Tensor, "batch height width channels"]]:
        """Yield the images at the positions in `order`, in that order, on the device; the last batch may be smaller.

        Leaving the loop early ends the loader's thread.

        Raises:
            IndexError: For a position that the beton lacks.
        """
        beton, loader = self._opened()
        outside = (order < 0) | (order >= len(beton))
        if outside.any():
            raise IndexError(f"{self.path}: position {order[outside][0]} is not in 0..{len(beton) - 1}")
        loader.batch_size = batch_size
        running = _iteration()(loader, order.astype(np.uint64))
        try:
            for (batch,) in running:
                # The loader writes its next batches into the same memory.
                yield batch.clone() if self.device.type == "cpu" else batch.to(self.device)
            if running.failure is not None:
                raise running.failure
        finally:
            _end(running)

    def _opened(self) -> tuple[Beton, Any]:
        state = self.path.stat() if self.path.is_file() else None
        version = (state.st_ino, state.st_size, state.st_mtime_ns) if state else ()
        return _loader(self.path, version, self.workers)


@lru_cache(maxsize=4)
def _loader(path: Path, version: tuple[int, ...], workers: int) -> tuple[Beton, Any]:
    """Return this process's loader of a beton; `version` changes when another file replaces it."""
    beton = open_beton(path)
    loader = ffcv_module("loader.loader").Loader(
        str(path),
        batch_size=1,
        num_workers=workers,
        batches_ahead=BATCHES_AHEAD,
        drop_last=False,
        pipelines={name: None for name in beton.reader.field_names if name != IMAGE},
        seed=0,
    )
    return beton, loader


@lru_cache(maxsize=1)
def _iteration() -> Any:
    """Return a class for FFCV's passes over an order that reports errors of the loader's thread.

    FFCV's own thread ends silently at an error, and the loop that waits for its batches then waits forever. Nothing is
    compiled again for another order or batch size.
    """
    base = ffcv_module("loader.epoch_iterator").EpochIterator

    class Iteration(base):  # type: ignore[misc, valid-type]
        failure: Exception | None = None

        def run(self) -> None:
            try:
                super().run()
            except Exception as error:
                self.failure = error
                self.output_queue.put(None)

    return Iteration


def _end(running: Any) -> None:
    """End a pass at once; FFCV's own ``close`` lets it fill its queue and waits for half a second."""
    running.iter_ixes = iter(())
    running.close()
    while running.is_alive():
        with suppress(Empty):
            running.output_queue.get_nowait()
        running.join(timeout=0.001)


def device_memory(device: torch.device) -> int:
    """Return the bytes of memory of a CUDA device, or of this machine within its container's limit."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return machine_memory()


def choose_source(n_bytes: int, device: torch.device, share: float = RESIDENT_SHARE) -> Literal["resident", "ffcv"]:
    """Return 'resident' if n_bytes ≤ share · memory of the device, else 'ffcv'.

    Raises:
        ConfigError: For a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ConfigError("runner.resident_share", "a number in (0, 1]", share)
    return "resident" if n_bytes <= share * device_memory(device) else "ffcv"
