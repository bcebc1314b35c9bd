"""Images in which there is nothing to see, or which are darker than pictures are: scales that were mistaken."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from modeldiff_core.data.notes import NAMED, Tally

if TYPE_CHECKING:
    from modeldiff_core.data.examples import Dataset, Examples

ONE_VALUE = "of one color all over"
DARK = 16
"""Brightest pixel of a whole dataset up to which another scale than 0..255 is likely: 0..1, or 0..16."""


def dull_images(dataset: "Dataset") -> tuple[Tally, ...]:
    """Return how many images hold one color alone."""
    train, test = (np.array([_is_dull(image) for image in part.images]) for part in (dataset.train, dataset.test))
    names = [f"train {at}" for at in np.flatnonzero(train)[:NAMED]]
    names += [f"test {at}" for at in np.flatnonzero(test)[: NAMED - len(names)]]
    one = Tally(ONE_VALUE, int(train.sum()), int(test.sum()), tuple(names))
    return (one,) if one.count else ()


def dull_remarks(dataset: "Dataset", dull: tuple[Tally, ...]) -> Iterator[str]:
    """Yield warnings about images that models can learn nothing from, or that look like those of another scale."""
    counts = {"training": (len(dataset.train), sum(one.train for one in dull))}
    counts["test"] = len(dataset.test), sum(one.test for one in dull)
    for part, (count, of_one) in counts.items():
        if count and of_one == count:
            yield f"all {count:,} {part} images are of one color all over: there is nothing in them to learn from"
    brightest = max(_brightest(part) for part in (dataset.train, dataset.test))
    if 0 < brightest <= DARK:
        yield (
            f"the brightest pixel of all images is {brightest} of 255, so they are all but black to a model: is their "
            f"scale 0..{1 if brightest == 1 else 16}? Multiply them, or state the scale where the source has a setting "
            f"for it (dataset.pixel_range=[0,{1 if brightest == 1 else 16}] of dataset=npz)"
        )


def _is_dull(image: np.ndarray) -> bool:
    return bool((image == image[:1, :1]).all())


def _brightest(part: "Examples") -> int:
    return max((int(image.max(initial=0)) for image in part.images), default=0)
