"""Candidate transformations whose parameters are drawn from what the images along a direction have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, product, zip_longest

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from modeldiff_core.statistics import within_classes
from modeldiff_core.transformations.candidates import TransformationTest
from modeldiff_core.transformations.ends import End, OrderedExamples, ends
from modeldiff_core.transformations.whole_image import statistic_contrast, whole_image

FRACTIONS = (1 / 8, 1 / 4, 3 / 8, 1 / 2)
"""Heights and widths of a block, as shares of the image's."""
LARGEST = 32
"""Most pixels of a block's side: its pixels are part of the configuration of what is found."""
BLOCKS = 4
"""Blocks tried at each end."""
HELD = 0.6
"""Share of the strongest pixel's contrast that belongs to what hangs together with it."""
ALIKE = 0.6
"""Share of their union that two blocks may have in common."""


@dataclass(frozen=True)
class _Block:
    top: int
    left: int
    height: int
    width: int


def propose(
    targets: OrderedExamples, train: OrderedExamples, share: float, limit: int
) -> tuple[TransformationTest, ...]:
    """At most `limit` transformations that give an image what the images at an end of the direction have.

    Where they differ is read off the contrast of pixels and of image statistics along the direction within classes
    (see subpopulations.within_classes), targets and training examples together: t = (t_targets + t_train)/√2. The block
    around the peak of t² and those of the largest Σ (t² − 1)/√area are stamped with the median of the end's members and
    with its most extreme member; whole_image proposes the rest. The share of all examples that lies furthest out makes
    an end. Both ends take turns, so that no kind crowds out the others.
    """
    some = targets.some(), train.some()
    pixels, statistics = _pixel_contrast(*some), statistic_contrast(*some)
    lists: list[Iterator[TransformationTest]] = []
    for end in ends(targets, train, share):
        factor = 1 if end.sign == "positive" else -1
        lists.append(_stamps(end, pixels))
        lists.append(whole_image(end, {name: factor * t for name, t in statistics.items()}))
    turns = chain.from_iterable(zip_longest(*lists))
    unique = {(t.kind, t.target_class, str(t.parameters)): t for t in turns if t is not None}
    return tuple(islice(unique.values(), limit))


def _pixel_contrast(targets: OrderedExamples, train: OrderedExamples) -> Float[np.ndarray, "height width"]:
    """Largest |t| of the channels at every pixel."""
    total = np.zeros(targets.examples.images.shape[1:])
    for part in (targets, train):
        found = within_classes(part.examples.images, part.values.astype(np.float64), part.examples.labels)
        if found is not None:
            total += found.t / np.sqrt(2)
    return np.asarray(np.abs(total).max(axis=2))


def _blocks(contrast: Float[np.ndarray, "height width"]) -> list[_Block]:
    """Return the block around the peak, then the best place of each shape of block, best shape first."""
    height, width = contrast.shape
    excess = np.zeros((height + 1, width + 1))
    excess[1:, 1:] = np.cumsum(np.cumsum(np.square(contrast) - 1, axis=0), axis=1)
    found: dict[tuple[int, int], tuple[float, _Block]] = {}
    for down, across in product(FRACTIONS, FRACTIONS):
        rows, columns = (min(LARGEST, max(1, round(f * side))) for f, side in ((down, height), (across, width)))
        sums = excess[rows:, columns:] - excess[:-rows, columns:] - excess[rows:, :-columns] + excess[:-rows, :-columns]
        top, left = np.unravel_index(int(sums.argmax()), sums.shape)
        score = float(sums[top, left]) / np.sqrt(rows * columns)
        found[rows, columns] = score, _Block(int(top), int(left), rows, columns)
    ranked = [block for _, block in sorted(found.values(), key=lambda item: -item[0])]
    kept: list[_Block] = []
    for block in (_around_peak(contrast), *ranked):
        if all(_overlap(block, other) <= ALIKE for other in kept):
            kept.append(block)
    return kept[:BLOCKS]


def _around_peak(contrast: Float[np.ndarray, "height width"]) -> _Block:
    """Return the box around the pixels connected to the strongest one, corners too, at HELD of its contrast or more."""
    regions, _ = ndimage.label(contrast >= HELD * contrast.max(), structure=np.ones((3, 3)))
    row, column = np.unravel_index(int(contrast.argmax()), contrast.shape)
    rows, columns = ndimage.find_objects((regions == regions[row, column]).astype(int))[0]
    height, width = (min(LARGEST, side.stop - side.start) for side in (rows, columns))
    return _Block(int(rows.start), int(columns.start), height, width)


def _overlap(one: _Block, other: _Block) -> float:
    """Area in common as a share of the union."""
    rows = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    columns = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    common = max(0, rows) * max(0, columns)
    return common / (one.height * one.width + other.height * other.width - common)


def _stamps(end: End, contrast: Float[np.ndarray, "height width"]) -> Iterator[TransformationTest]:
    for block in _blocks(contrast):
        part = end.images[:, block.top : block.top + block.height, block.left : block.left + block.width]
        where = f"rows {block.top}-{block.top + block.height - 1}, columns {block.left}-{block.left + block.width - 1}"
        for words, content in (("common", np.median(part, axis=0)), ("strongest", part[0])):
            yield end.test(
                f"{words} patch, {where}",
                "stamp",
                {"top": block.top, "left": block.left, "pixels": _pixels(content.astype(int))},
            )


def _pixels(content: Int[np.ndarray, "height width channels"]) -> list[list[int | list[int]]]:
    """Rows of single values for gray pixels, and of red, green and blue."""
    if content.shape[2] == 3:
        return [[[int(v) for v in pixel] for pixel in row] for row in content]
    return [[int(pixel[0]) for pixel in row] for row in content]
