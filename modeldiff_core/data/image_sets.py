"""Some classes of a set of images, from which pictures of several parts are put together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8

from modeldiff_core.data.cifar10 import Cifar10
from modeldiff_core.data.digits import Digits
from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.fashion_mnist import FashionMnist
from modeldiff_core.data.mnist_idx import MnistIdx
from modeldiff_core.data.npz import Npz
from modeldiff_core.errors import ConfigError
from modeldiff_core.images import Images

Part = Literal["train", "test"]


def _needs(key: str, path: str | None) -> str:
    if path is None:
        raise ConfigError(f"{key}.path", "the path of the images", path)
    return path


LOADERS: Mapping[str, Callable[[str, str | None], Dataset]] = {
    "digits": lambda key, path: Digits(1200, 597).load(),
    "fashion_mnist": lambda key, path: FashionMnist(60_000, 10_000, folder=path).load(),
    "mnist_idx": lambda key, path: MnistIdx(_needs(key, path)).load(),
    "cifar10": lambda key, path: Cifar10(_needs(key, path)).load(),
    "npz": lambda key, path: Npz(_needs(key, path)).load(),
}


@dataclass(frozen=True)
class ImageSet:
    """Classes of a set of images.

    images: 'digits' (scikit-learn's) and 'fashion_mnist' need no path; 'mnist_idx', 'cifar10' and 'npz' take the path
    of the files. classes: label 0, 1, … of the new examples, by their number in the set, two or more that differ.
    """

    images: Literal["digits", "fashion_mnist", "mnist_idx", "cifar10", "npz"] = "digits"
    classes: tuple[int, ...] = (0, 1)
    path: str | None = None

    def checked(self, key: str) -> "ImageSet":
        """Return itself; raises ConfigError for fewer than two classes."""
        if len(set(self.classes)) < max(2, len(self.classes)):
            raise ConfigError(f"{key}.classes", "two or more distinct classes", list(self.classes))
        return self

    def load(self, key: str) -> Dataset:
        """Return the whole set; raises ConfigError for a class that it does not have."""
        data = _loaded(self.images, key, self.path)
        for number in self.classes:
            if not 0 <= number < len(data.classes):
                raise ConfigError(f"{key}.classes", f"classes in 0..{len(data.classes) - 1}", number)
        return data

    def names(self, data: Dataset) -> tuple[str, ...]:
        """Return the names of the classes."""
        return tuple(data.classes[number] for number in self.classes)

    def drawn(self, examples: Examples, labels: Int[np.ndarray, " new"], random: np.random.Generator) -> Images:
        """Draw an image of its class for every label: none twice as long as there are enough of the class."""
        found = np.empty(len(labels), np.int64)
        for label, number in enumerate(self.classes):
            members, wanted = np.flatnonzero(examples.labels == number), np.flatnonzero(labels == label)
            if len(wanted) and not len(members):
                raise ConfigError("dataset", f"images of class {number}", "none")
            rounds = [random.permutation(members) for _ in range(-(-len(wanted) // max(1, len(members))))]
            if rounds:
                found[wanted] = np.concatenate(rounds)[: len(wanted)]
        return examples.images[found]


@lru_cache(maxsize=4)
def _loaded(images: str, key: str, path: str | None) -> Dataset:
    return LOADERS[images](key, path)


def same_channels(images: Images, channels: int) -> UInt8[np.ndarray, "images height width {channels}"]:
    """Return the images with so many channels; gray becomes color by repetition."""
    return images if images.shape[3] == channels else np.repeat(images, channels, axis=3)


def centered(images: Images, height: int, width: int) -> UInt8[np.ndarray, "images {height} {width} channels"]:
    """Return the images in the middle of a black frame of that size."""
    down, right = height - images.shape[1], width - images.shape[2]
    frame = ((0, 0), (down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0))
    return np.pad(images, frame)
