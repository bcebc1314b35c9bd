"""Training functions and data that tests of the Python API share: each kind of model, and each way to give images."""

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.utils.data import TensorDataset

import modeldiff_core as md

SIDE = 6
SETTINGS: dict[str, Any] = {
    "subsets": {"shard_size": 10, "rounds": {"growth": 4.0}},
    "ensemble": {"models": 4, "shard_size": 2},
    "regression": {"estimator": "ridge"},
    "comparison": {"draws": 19, "components": 2},
    "search": {"directions": 0},
    "effects": {"max_images": 20},
}
"""Small enough for a few seconds."""


def stripes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of two classes: a bright left or a bright right column."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 160, (count, SIDE, SIDE))
    images[labels == 0, :, 0] += 60
    images[labels == 1, :, -1] += 60
    return images.astype(np.uint8), labels


def data(way: str, train: int = 80, test: int = 40) -> md.Data:
    """The same images as bytes, or as a torch data set of floats with channels first."""
    (x, y), (x_test, y_test) = stripes(train, 0), stripes(test, 1)
    if way == "arrays":
        return md.Data(x, y, x_test, y_test)
    parts = [
        TensorDataset(torch.from_numpy(a).float()[:, None] / 255, torch.from_numpy(b))
        for a, b in ((x, y), (x_test, y_test))
    ]
    return md.Data(parts[0], parts[1])


def rows(images: Any) -> np.ndarray:
    """Images of either way as rows of floats in 0..1."""
    out = np.asarray(images, np.float32).reshape(len(images), -1)
    return out / 255 if out.max(initial=0) > 1 else out


class Rows(nn.Module):
    """A linear network that takes images of either way."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(SIDE * SIDE, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(images.flatten(1).float() / (255 if images.dtype == torch.uint8 else 1))


def train_module(images: Any, labels: Any, seed: int, steps: int = 5, rate: float = 0.5) -> nn.Module:
    torch.manual_seed(seed)
    net = Rows()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    images, labels = torch.as_tensor(images), torch.as_tensor(labels)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net


def train_estimator(images: Any, labels: Any, seed: int) -> LogisticRegression:
    return LogisticRegression(C=0.1, max_iter=100).fit(np.asarray(images).reshape(len(images), -1), np.asarray(labels))


def train_callable(images: Any, labels: Any, seed: int) -> Any:
    pixels, chosen = rows(images), np.asarray(labels)
    means = np.stack([pixels[chosen == label].mean(0) for label in range(2)])
    return lambda given: -((rows(given)[:, None] - means) ** 2).sum(-1)


FUNCTIONS = {"module": train_module, "estimator": train_estimator, "callable": train_callable}
