"""Block images: a picture that tells the class above or below a fixed one that tells nothing."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from jaxtyping import UInt8

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.featured import Featured, FeaturedData, Values
from modeldiff_core.data.image_sets import ImageSet, Part
from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.limits import Limit, check_limits

SIGNAL, NULL, POSITION = "signal", "null", "position"
THICK = 2
"""Pixels that the lines of the square are thick."""


@dataclass(frozen=True)
class BlockImages:
    """Images of two blocks, one of which carries the class (BlockMNIST of arXiv 2102.12781, section 5).

    signal: the images that tell the class. The null block has the same size and shows, in every example, the same
    hollow square: `side` pixels wide (two thirds of the image if not given), two pixels thick, in the middle of black.
    position: 'random' puts the signal above the null block in half of the examples; 'top' in all of them.
    Features: 'signal', 'null' and 'position'; the Bayes accuracies take images to show their class without doubt.
    """

    signal: ImageSet = field(default_factory=lambda: ImageSet("digits", (0, 1)))
    position: Literal["random", "top"] = "random"
    side: int | None = None
    n_train: Annotated[int, Limit(least=2)] = 1000
    n_test: Annotated[int, Limit(least=2)] = 500
    seed: int = 0

    def __post_init__(self) -> None:
        require = Check("dataset")
        check_limits(self, require)
        require(self.side is None or self.side >= 1, "side", "1 or more", self.side)
        self.signal.checked("dataset.signal")

    def featured(self) -> FeaturedData:
        """Return the examples as features: images in 0..1, and where the signal is (0 above, 1 below)."""
        parts, names = self._parts()
        classes = len(names)

        def part(labels: np.ndarray, images: Values) -> Featured:
            scaled = {name: images[name].astype(np.float32) / 255 for name in (SIGNAL, NULL)}
            return Featured({**scaled, POSITION: images[POSITION]}, labels, draw, where)

        def bayes(shown: frozenset[str]) -> float:
            return 1.0 if SIGNAL in shown else 1 / classes

        return FeaturedData(part(*parts[0]), part(*parts[1]), names, {SIGNAL: 1, NULL: 0, POSITION: 0}, bayes)

    def load(self) -> Dataset:
        parts, names = self._parts()
        train, test = (
            Examples(draw(images), labels, {POSITION: np.asarray(images[POSITION])}) for labels, images in parts
        )
        return Dataset(train, test, names)

    def _parts(self) -> tuple[list[tuple[np.ndarray, Values]], tuple[str, ...]]:
        data = self.signal.load("dataset.signal")
        pattern = self._square(data.image_shape)

        def part(name: Part, size: int) -> tuple[np.ndarray, Values]:
            random = generator("block images", self.seed, name)
            labels = random.permutation(np.arange(size) % len(self.signal.classes)).astype(np.int64)
            signal = self.signal.drawn(getattr(data, name), labels, random)
            below = random.permutation(np.arange(size) % 2) if self.position == "random" else np.zeros(size, np.int64)
            return labels, {SIGNAL: signal, NULL: np.repeat(pattern[None], size, 0), POSITION: below}

        return [part("train", self.n_train), part("test", self.n_test)], self.signal.names(data)

    def _square(self, shape: tuple[int, int, int]) -> UInt8[np.ndarray, "height width channels"]:
        """Return the null block; raises ConfigError for a square that is larger than the images."""
        height, width, channels = shape
        shorter = min(height, width)
        side = round(shorter * 2 / 3) if self.side is None else self.side
        if side > shorter:
            raise ConfigError("dataset.side", f"at most {shorter}, the shorter side of the images", side)
        top, left = (height - side) // 2, (width - side) // 2
        block = np.zeros((height, width, channels), np.uint8)
        block[top : top + side, left : left + side] = 255
        block[top + THICK : top + side - THICK, left + THICK : left + side - THICK] = 0
        return block


def draw(values: Values) -> np.ndarray:
    """Return the images: the signal above the null block where the position is 0, below it where it is 1."""
    below = values[POSITION].astype(bool)[:, None, None, None]
    over, under = (np.where(turned, values[NULL], values[SIGNAL]) for turned in (below, ~below))
    return np.concatenate([over, under], 1)


def where(values: Values, name: str) -> np.ndarray:
    """Return the pixels of a block; those of the position are all of them."""
    if name == POSITION:
        return np.ones_like(draw(values), dtype=bool)
    marks = {part: np.full(values[part].shape, part == name) for part in (SIGNAL, NULL)}
    return np.asarray(draw({**marks, POSITION: values[POSITION]}))
