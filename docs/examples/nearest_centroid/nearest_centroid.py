"""A learning algorithm and a dataset of one's own, found by ModelDiff through the entry points in pyproject.toml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.training import Execution


@dataclass(frozen=True)
class Centroids:
    """One mean image a class for each model; the logit of a class is minus the squared distance to its mean."""

    means: np.ndarray  # [models, classes, pixels]
    sharpness: float

    def logits(self, images: np.ndarray) -> np.ndarray:
        pixels = images.reshape(len(images), -1) / np.float32(255)
        distance = ((pixels[None, :, None] - self.means[:, None]) ** 2).mean(-1)
        return (-self.sharpness * distance).astype(np.float32)

    def weights(self) -> dict[str, np.ndarray]:
        return {"means": self.means}


@dataclass(frozen=True)
class NearestCentroid:
    """The algorithm's settings are its fields: they decide its identity and can be set as recipe.sharpness."""

    sharpness: float = 20.0
    ignore_left: int = 0

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        if not 0 <= self.ignore_left < image_shape[1]:
            raise ConfigError("recipe.ignore_left", f"a number of columns in 0..{image_shape[1] - 1}", self.ignore_left)

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: np.ndarray,
        models: Sequence[int],
        seed: int,
        execution: Execution,
    ) -> Centroids:
        images = examples.images.astype(np.float32) / 255
        images[:, :, : self.ignore_left] = 0
        pixels = images.reshape(len(images), -1)
        means = [[pixels[mask & (examples.labels == label)].mean(0) for label in range(n_classes)] for mask in masks]
        return Centroids(np.array(means, np.float32), self.sharpness)

    def load(
        self,
        weights: Mapping[str, np.ndarray],
        image_shape: tuple[int, int, int],
        n_classes: int,
        execution: Execution,
    ) -> Centroids:
        return Centroids(weights["means"], self.sharpness)


@dataclass(frozen=True)
class TwoStripes:
    """Noisy images of two classes that differ in a bright left or a bright right column."""

    n_train: int = 120
    n_test: int = 160
    seed: int = 0

    def load(self) -> Dataset:
        parts = []
        for part, size in enumerate((self.n_train, self.n_test)):
            rng = np.random.default_rng([self.seed, part])
            labels = np.arange(size) % 2
            images = rng.integers(0, 160, (size, 6, 6, 1))
            images[labels == 0, :, 0] += 60
            images[labels == 1, :, 5] += 60
            parts.append(Examples(images.astype(np.uint8), labels))
        return Dataset(parts[0], parts[1], ("left", "right"))
