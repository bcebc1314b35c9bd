"""A tiny data set, and recipes of every kind for it."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from modeldiff_core.data import Examples
from modeldiff_core.metagradients.process import Process
from modeldiff_core.training.augmentations import Flip, Noise, Translate
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

TRAIN, TARGETS, CLASSES = 32, 7, 3


def examples(count: int, seed: int) -> Examples:
    """Images of 12×12 bytes whose class is a bright row, under noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = rng.integers(0, 120, (count, 12, 12, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 * label : 3 * label + 3] += 90
    return Examples(images, labels)


MLP = Sgd(network=Network("mlp", (6,)), epochs=4, batch_size=5, learning_rate=0.1)
RECIPES = {
    "mlp": MLP,
    "deep mlp, plain descent": replace(
        MLP, network=Network("mlp", (6, 5)), momentum=0.0, weight_decay=0.0, schedule="constant"
    ),
    "cnn": replace(MLP, network=Network("cnn", (3, 4)), schedule="cosine", learning_rate=0.05),
    "lenet": replace(MLP, network=Network("lenet"), epochs=4, learning_rate=0.1),
    "resnet9": replace(MLP, network=Network("resnet9", (2, 3, 3, 4)), epochs=4, batch_size=6, learning_rate=0.1),
    "smoothed and augmented": replace(
        MLP,
        label_smoothing=0.1,
        weight_decay=0.01,
        augmentations=(Flip(), Translate(), Noise(deviation=0.05)),
        test_time="flip",
    ),
    "last layer of a random network": replace(MLP, network=Network("cnn", (3, 4), trainable="head"), mean="subset"),
}


def random(*shape: int, seed: int = 0) -> Tensor:
    """Return normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def retrained(process: Process, weights: Tensor) -> Tensor:
    """Return the outputs after a training with other weights, divided by the same numbers."""
    process.weights = weights
    state = process.initial()
    for step in range(process.steps):
        batch = process.batch(step)
        state = process.step(state, weights[batch.members], batch)
    return process.outputs(state, slice(0, process.targets))
