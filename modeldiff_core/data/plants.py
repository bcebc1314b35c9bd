"""Features planted on purpose, so that the difference between two algorithms is known."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from modeldiff_core.data.cues import Cue
from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.images import Block, Images, checkerboard, fill_block


@dataclass(frozen=True)
class Watermark(Block):
    """A checkerboard block: pixels (row + column) even are white, odd are black.

    top, left, height, width: the block, in pixels.
    """

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ConfigError("dataset.plant.watermark", "a block with height and width of 1 or more", self)

    def pattern(self) -> UInt8[np.ndarray, "height width"]:
        """Return the block's pixels, 0 or 255."""
        return np.where(checkerboard(self.height, self.width) == 0, 255, 0).astype(np.uint8)

    def stamp(self, images: Images) -> Images:
        """Copies of the images with the block pasted on all channels."""
        height, width = images.shape[1:3]
        if not self.inside(height, width):
            raise ConfigError("dataset.plant", f"a block inside {height}×{width} images", self)
        return fill_block(images, self, self.pattern()[None, :, :, None])


@dataclass(frozen=True)
class Plant:
    """A feature on a share of the examples of one class, drawn from `seed`; recorded in metadata 'planted'.

    watermark or cue: what they carry, one of the two.
    """

    label: int
    fraction: float
    watermark: Watermark | None = None
    seed: int = 0
    cue: Cue | None = None

    def __post_init__(self) -> None:
        if (self.watermark is None) == (self.cue is None):
            given = "neither" if self.cue is None else "both"
            raise ConfigError("dataset.plant", "a watermark or a cue, one of the two", given)
        if not 0 < self.fraction <= 1:
            raise ConfigError("dataset.plant.fraction", "a number in (0, 1]", self.fraction)

    def stamp(self, images: Images) -> Images:
        """Copies of the images that carry the feature."""
        feature = self.watermark or self.cue
        assert feature is not None
        return feature.stamp(images)

    def apply(self, examples: Examples, part: str) -> Examples:
        """Stamp round(fraction · count) examples of the class; `part` keeps train and test draws apart."""
        of_class = np.flatnonzero(examples.labels == self.label)
        if not len(of_class):
            raise ConfigError("dataset.plant.label", f"a class with examples in the {part} set", self.label)
        share = round(self.fraction * len(of_class))
        if not share:
            expected = f"a share that marks some of the {len(of_class)} examples of the class in the {part} set"
            raise ConfigError("dataset.plant.fraction", expected, self.fraction)
        order = generator("plant", self.seed, part).permutation(len(of_class))
        chosen = np.sort(of_class[order[:share]])
        images = examples.images.copy()
        images[chosen] = self.stamp(images[chosen])
        planted = np.array(examples.metadata.get("planted", np.zeros(len(examples), dtype=bool)))
        planted[chosen] = True
        return Examples(images, examples.labels, {**examples.metadata, "planted": planted})


def planted(dataset: Dataset, plant: Plant | None) -> Dataset:
    """Return the dataset with a feature planted in both parts, or as it was."""
    if plant is None:
        return dataset
    return replace(dataset, train=plant.apply(dataset.train, "train"), test=plant.apply(dataset.test, "test"))
