"""Dominoes: two images of different sets side by side, each of which tells the class."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Int

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.featured import Featured, FeaturedData, Values
from modeldiff_core.data.image_sets import ImageSet, Part, centered, same_channels
from modeldiff_core.errors import Check
from modeldiff_core.identity import generator
from modeldiff_core.limits import Limit, check_limits

FIRST, SECOND = "first", "second"


@dataclass(frozen=True)
class Dominoes:
    """Pairs of images: a simple one and a complex one (MNIST-CIFAR of arXiv 2006.07710, section 3).

    first: the simple images. second: the complex ones, whose class is the label. agreement: share of the examples whose
    first image is of the label's class too; the others' is of the next class. layout: 'stacked', the first above the
    second, or 'beside', the first to the left. The smaller image is in the middle of a black frame; gray images
    beside color ones have three equal channels. Where a class has fewer images than are wanted, images recur in new
    pairs. Features: 'first' and 'second'. The Bayes accuracies take images to show their class without doubt.
    """

    first: ImageSet = field(default_factory=lambda: ImageSet("digits", (0, 1)))
    second: ImageSet = field(default_factory=lambda: ImageSet("digits", (3, 8)))
    agreement: Annotated[float, Limit(least=0.5, most=1, what="a share")] = 1.0
    layout: Literal["stacked", "beside"] = "stacked"
    n_train: Annotated[int, Limit(least=2)] = 1000
    n_test: Annotated[int, Limit(least=2)] = 500
    seed: int = 0

    def __post_init__(self) -> None:
        require = Check("dataset")
        check_limits(self, require)
        for key in (FIRST, SECOND):
            getattr(self, key).checked(f"dataset.{key}")
        counts = [len(self.first.classes), len(self.second.classes)]
        require(counts[0] == counts[1], "second.classes", f"{counts[0]} classes, as many as the first", counts[1])

    def featured(self) -> FeaturedData:
        """Return the examples as features, each [examples, height, width, channels] in 0..1."""
        layout, names = self._layout, self._names()

        def part(name: Part, size: int) -> Featured:
            labels, images = self._part(name, size)
            values = {key: pixels.astype(np.float32) / 255 for key, pixels in images.items()}
            return Featured(values, labels, layout.draw, layout.where)

        def bayes(shown: frozenset[str]) -> float:
            alone = max(self.agreement, 1 - self.agreement) if len(names) == 2 else self.agreement
            return 1.0 if SECOND in shown else alone if FIRST in shown else 1 / len(names)

        parts = part("train", self.n_train), part("test", self.n_test)
        return FeaturedData(parts[0], parts[1], names, {FIRST: 1, SECOND: 2}, bayes)

    def load(self) -> Dataset:
        parts = self._part("train", self.n_train), self._part("test", self.n_test)
        train, test = (Examples(self._layout.draw(images), labels) for labels, images in parts)
        return Dataset(train, test, self._names())

    @property
    def _layout(self) -> "Layout":
        return Layout(1 if self.layout == "stacked" else 2)

    def _sets(self) -> dict[str, tuple[ImageSet, Dataset]]:
        return {name: (one, one.load(f"dataset.{name}")) for name, one in ((FIRST, self.first), (SECOND, self.second))}

    def _names(self) -> tuple[str, ...]:
        names = (asked.names(data) for asked, data in self._sets().values())
        return tuple("/".join(pair) for pair in zip(*names, strict=True))

    def _part(self, name: Part, size: int) -> tuple[np.ndarray, Values]:
        """Return the labels and the bytes of both images of each example, in frames of one size."""
        sets, labels = self._sets(), self._labels(name, size)
        height, width, channels = (max(sizes) for sizes in zip(*(d.image_shape for _, d in sets.values()), strict=True))
        shown = {FIRST: self._first_labels(name, labels), SECOND: labels}
        images = {}
        for key, (asked, data) in sets.items():
            found = asked.drawn(getattr(data, name), shown[key], generator("dominoes", self.seed, name, key))
            images[key] = same_channels(centered(found, height, width), channels)
        return labels, images

    def _labels(self, name: Part, size: int) -> Int[np.ndarray, " examples"]:
        classes = len(self.second.classes)
        return generator("domino labels", self.seed, name).permutation(np.arange(size) % classes).astype(np.int64)

    def _first_labels(self, name: Part, labels: Int[np.ndarray, " examples"]) -> Int[np.ndarray, " examples"]:
        random = generator("domino agreement", self.seed, name)
        others = random.permutation(len(labels))[round(self.agreement * len(labels)) :]
        found = labels.copy()
        found[others] = (found[others] + 1) % len(self.first.classes)
        return found


@dataclass(frozen=True)
class Layout:
    """How two images make one: along this axis, the first before the second."""

    axis: int

    def draw(self, values: Values) -> np.ndarray:
        """Return the images."""
        return np.concatenate([values[FIRST], values[SECOND]], self.axis)

    def where(self, values: Values, name: str) -> np.ndarray:
        """Return the pixels of one of the two."""
        return np.concatenate([np.full(values[part].shape, part == name) for part in (FIRST, SECOND)], self.axis)
