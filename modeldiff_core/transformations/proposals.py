"""Candidate transformations whose parameters are drawn from what the images along a direction have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, product, zip_longest
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from modeldiff_core.data import Examples
from modeldiff_core.identity import generator
from modeldiff_core.subpopulations import BANDS, furthest, image_statistics, within_classes
from modeldiff_core.transformations.candidates import TransformationTest

Sign = Literal["positive", "negative"]
FRACTIONS = (1 / 8, 1 / 4, 3 / 8, 1 / 2)
"""Heights and widths of a block, as shares of the image's."""
LARGEST = 32
"""Most pixels of a block's side: its pixels stand in the configuration of what is found."""
BLOCKS = 4
"""Blocks tried at each end."""
HELD = 0.6
"""Share of the strongest pixel's contrast that belongs to what hangs together with it."""
ALIKE = 0.6
"""Share of their union that two blocks may have in common."""
EXAMPLES = 4000
"""Most examples that contrasts are measured on; more would hardly sharpen them."""
MAJORITY = 1 / 3
"""Least share of an end's members that makes their commonest class the end's class."""


@dataclass(frozen=True)
class Along:
    """Examples with their place along a direction: targets by projection, training examples by weight."""

    examples: Examples
    values: Float[np.ndarray, " examples"]

    def some(self) -> "Along":
        """At most EXAMPLES of them, drawn at random."""
        if len(self.values) <= EXAMPLES:
            return self
        order = generator("search examples", len(self.values)).permutation(len(self.values))
        kept = np.sort(order[:EXAMPLES])
        return Along(self.examples.select(kept), self.values[kept])


@dataclass(frozen=True)
class _Block:
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class _End:
    """An end: its members' images, the strongest first, and the class that most of them have, if one prevails."""

    sign: Sign
    images: np.ndarray
    target_class: int | None


def propose(targets: Along, train: Along, share: float, limit: int) -> tuple[TransformationTest, ...]:
    """At most `limit` transformations that give an image what the images at an end of the direction have.

    Where they differ is read off the contrast of pixels and of image statistics along the direction within classes
    (see subpopulations.within_classes), targets and training examples together: t = (t_targets + t_train)/√2. The block
    around the peak of t² and those of the largest Σ (t² − 1)/√area are stamped with the median of the end's members and
    with its most extreme member; statistics give a tint, contrast, a frequency band, a texture and a shift. The share
    of all examples that lies furthest out makes an end. Both ends take turns, so that no kind crowds out the others.
    """
    some = targets.some(), train.some()
    pixels, statistics = _pixel_contrast(*some), _statistic_contrast(*some)
    lists: list[Iterator[TransformationTest]] = []
    ends: tuple[tuple[Sign, int], ...] = (("positive", 1), ("negative", -1))
    for sign, factor in ends:
        end = _end(targets, train, factor, share, sign)
        if end is None:
            continue
        lists.append(_stamps(end, pixels))
        lists.append(_whole_image(end, {name: factor * t for name, t in statistics.items()}, targets.examples.images))
    turns = chain.from_iterable(zip_longest(*lists))
    unique = {(t.kind, t.target_class, str(t.parameters)): t for t in turns if t is not None}
    return tuple(islice(unique.values(), limit))


def _pixel_contrast(targets: Along, train: Along) -> Float[np.ndarray, "height width"]:
    """Largest |t| of the channels at every pixel."""
    total = np.zeros(targets.examples.images.shape[1:])
    for part in (targets, train):
        found = within_classes(part.examples.images, part.values.astype(np.float64), part.examples.labels)
        if found is not None:
            total += found.t / np.sqrt(2)
    return np.asarray(np.abs(total).max(axis=2))


def _statistic_contrast(targets: Along, train: Along) -> dict[str, float]:
    """Student's t of every image statistic along the direction."""
    total: dict[str, float] = {}
    for part in (targets, train):
        values = image_statistics(part.examples.images)
        found = within_classes(
            np.stack(list(values.values()), axis=1), part.values.astype(np.float64), part.examples.labels
        )
        for at, name in enumerate(values):
            total[name] = total.get(name, 0.0) + (0.0 if found is None else float(found.t[at]) / np.sqrt(2))
    return total


def _end(targets: Along, train: Along, factor: int, share: float, sign: Sign) -> _End | None:
    images, labels = [], []
    for part in (targets, train):
        position = np.flatnonzero(furthest(factor * part.values, share))
        strongest_first = position[np.argsort(-factor * part.values[position], kind="stable")]
        images.append(part.examples.images[strongest_first])
        labels.append(part.examples.labels[strongest_first])
    counts = np.bincount(np.concatenate(labels))
    if not counts.sum():
        return None
    common = int(counts.argmax())
    if counts[common] < MAJORITY * counts.sum():
        return _End(sign, np.concatenate(images), None)
    # Members of other classes would only blur what those of the end's class have in common.
    return _End(sign, np.concatenate(images)[np.concatenate(labels) == common], common)


def _blocks(contrast: Float[np.ndarray, "height width"]) -> list[_Block]:
    """The block around the peak, then the best place of each shape of block, best shape first."""
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
    """The box around what hangs together with the strongest pixel, corners too, at HELD of its contrast or more."""
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


def _stamps(end: _End, contrast: Float[np.ndarray, "height width"]) -> Iterator[TransformationTest]:
    for block in _blocks(contrast):
        part = end.images[:, block.top : block.top + block.height, block.left : block.left + block.width]
        where = f"rows {block.top}-{block.top + block.height - 1}, columns {block.left}-{block.left + block.width - 1}"
        for words, content in (("common", np.median(part, axis=0)), ("strongest", part[0])):
            yield _test(
                end, f"{words} patch, {where}", "stamp",
                {"top": block.top, "left": block.left, "pixels": _pixels(content.astype(int))},
            )  # fmt: skip


def _pixels(content: Int[np.ndarray, "height width channels"]) -> list[list[int | list[int]]]:
    """Rows of single values for grey pixels, and of red, green and blue."""
    if content.shape[2] == 3:
        return [[[int(v) for v in pixel] for pixel in row] for row in content]
    return [[int(pixel[0]) for pixel in row] for row in content]


def _whole_image(end: _End, statistics: dict[str, float], images: np.ndarray) -> Iterator[TransformationTest]:
    """What differs most of the whole image comes first; each follows the end's class and each image's own."""
    height, width, channels = images.shape[1:]
    found: list[tuple[float, str, str, dict[str, object]]] = []
    light = statistics["brightness"] > 0
    if channels == 3:
        colour = np.array([statistics[name] for name in ("red", "green", "blue")])
        red, green, blue = (int(v) for v in np.rint(127.5 + 127.5 * colour / max(np.abs(colour).max(), 1e-9)))
        found.append((float(np.abs(colour).max()), "tint", "tint", {"red": red, "green": green, "blue": blue}))
        if statistics["colourfulness"] < 0:
            found.append((-statistics["colourfulness"], "grey", "grey", {}))
    value = 255 if light else 0
    tint = {"red": value, "green": value, "blue": value, "opacity": 0.3}
    if channels in (1, 3):
        found.append((abs(statistics["brightness"]), "lighter" if light else "darker", "tint", {**tint}))
    if statistics["contrast"] < 0:
        found.append((-statistics["contrast"], "less contrast", "contrast", {"loss": 0.5}))
    band = max(BANDS, key=lambda b: abs(statistics[b.name]))
    more = statistics[band.name] > 0
    gain = {"low": band.low, "high": band.high, "gain": 2.0 if more else 0.0}
    found.append((abs(statistics[band.name]), f"{'more' if more else 'no'} {band.name}", "band", {**gain}))
    if more:
        texture = {"low": band.low, "high": band.high, "amplitude": 0.15}
        found.append((statistics[band.name], f"texture of {band.name}", "texture", {**texture}))
    shifts = {name: statistics[name] for name in ("row", "column")}
    axis = max(shifts, key=lambda name: abs(shifts[name]))
    side = height if axis == "row" else width
    pixels = int(np.sign(shifts[axis]) or 1) * max(1, round(side / 8))
    shift = {"rows": pixels if axis == "row" else 0, "columns": pixels if axis == "column" else 0}
    way = {"row": ("up", "down"), "column": ("left", "right")}[axis][pixels > 0]
    words = f"shift {way} by {abs(pixels)} pixel{'' if abs(pixels) == 1 else 's'}"
    found.append((abs(shifts[axis]), words, "translate", {**shift}))
    for _, words, kind, parameters in sorted(found, key=lambda item: -item[0]):
        yield _test(end, words, kind, parameters)
        if end.target_class is not None:
            yield _test(end, words, kind, parameters, own_class=True)


def _test(
    end: _End, words: str, kind: str, parameters: dict[str, object], *, own_class: bool = False
) -> TransformationTest:
    whose = None if own_class else end.target_class
    name = f"{words} ({end.sign} end{', own class' if own_class else ''})"
    return TransformationTest(name, kind, whose, parameters=parameters)
