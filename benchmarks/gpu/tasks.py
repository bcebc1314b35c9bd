"""The networks that are trained, and images of random pixels for them: neither time nor rounding depends on pixels."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from time import perf_counter

import numpy as np
import torch

from modeldiff_core.data import Examples
from modeldiff_core.training import Task
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

CLASSES = 10
RESNET9 = Sgd(network=Network("resnet9"), epochs=24, batch_size=512, learning_rate=0.5, precision="bfloat16")
"""The published widths."""
SMALL_RESNET9 = replace(RESNET9, network=Network("resnet9", (8, 16, 32, 16)))
"""An eighth of the published widths."""
CNN = Sgd(network=Network("cnn", (16, 32)), learning_rate=0.05)
MLP = Sgd(network=Network("mlp", (64,)))


def random_task(recipe: Sgd, images: int, targets: int = 100) -> Task:
    """Return a task on `images` random images: 32×32×3 for a ResNet-9, 28×28×1 for the small networks."""
    rng = np.random.default_rng(0)
    shape = (32, 32, 3) if recipe.network.kind == "resnet9" else (28, 28, 1)
    train, judged = (
        Examples(rng.integers(256, size=(n, *shape), dtype=np.uint8), rng.integers(CLASSES, size=n))
        for n in (images, targets)
    )
    return Task(recipe, 0, train, judged, CLASSES)


def finish(device: str) -> None:
    """Wait until the device has done all its work."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def has_compiler() -> bool:
    """Return whether this machine has a C compiler, without which torch.compile cannot work."""
    return any(shutil.which(name) for name in ("cc", "gcc", "clang"))


@cache
def matrix_peak(device: str, side: int) -> float:
    """Return the operations a second (multiplications and additions) of bfloat16 products of two side × side matrices.

    The best of five rounds of ten products, of which the first warm the device up.
    """
    matrix = torch.randn(side, side, device=device).to(torch.bfloat16)
    seconds = []
    for _ in range(5):
        finish(device)
        began = perf_counter()
        for _ in range(10):
            _ = matrix @ matrix
        finish(device)
        seconds.append(perf_counter() - began)
    return 10 * 2 * side**3 / min(seconds)


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Compute a GPU's float32 convolutions in float32: torch lets cuDNN round their inputs to TF32 by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
