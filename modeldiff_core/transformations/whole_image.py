"""Candidates that change the whole image, as an end of a direction differs from other images of the same classes."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from modeldiff_core.statistics import within_classes
from modeldiff_core.subpopulations import BANDS, image_statistics
from modeldiff_core.transformations.candidates import TransformationTest
from modeldiff_core.transformations.ends import End, OrderedExamples

CELLS = 32
"""Most cells of an overlay's side: they are part of the configuration of what is found."""
Proposed = tuple[str, str, dict[str, object]]
"""What a candidate is called, its kind and its parameters."""


def statistic_contrast(*parts: OrderedExamples) -> dict[str, float]:
    """Student's t of every image statistic along the direction, within classes: Σ t/√2 over the two parts."""
    total: dict[str, float] = {}
    for part in parts:
        values = image_statistics(part.examples.images)
        found = within_classes(
            np.stack(list(values.values()), axis=1), part.values.astype(np.float64), part.examples.labels
        )
        for at, name in enumerate(values):
            total[name] = total.get(name, 0.0) + (0.0 if found is None else float(found.t[at]) / np.sqrt(2))
    return total


def whole_image(end: End, statistics: dict[str, float]) -> Iterator[TransformationTest]:
    """Overlays of what differs pixel by pixel, a turn, then what differs most of the image's statistics.

    statistics: contrasts that are positive where the end's images have more. Each follows the end's class, and then
    each image's own.
    """
    proposed = [*_overlay(end), *_turn(end), *_by_statistics(end, statistics)]
    for one in proposed:
        yield end.test(*one)
    if end.target_class is not None:
        for one in proposed:
            yield end.test(*one, own_class=True)


def _overlay(end: End) -> Iterator[Proposed]:
    """Yield the average difference of the members; twice, since some lack what others have, and a part is chance."""
    difference = end.difference(lambda images: images)
    if difference is None:
        return
    rows, columns = (np.arange(side) * min(side, CELLS) // side for side in difference.shape[:2])
    means = _means(_means(difference, rows, 0), columns, 1)
    for words, factor in (("difference of the images", 1), ("twice the difference of the images", 2)):
        cells = np.clip(np.rint(factor * means), -255, 255).astype(int)
        if cells.any():
            gray = cells.shape[2] != 3
            parameters = [[int(cell[0]) if gray else [int(v) for v in cell] for cell in row] for row in cells]
            yield words, "overlay", {"cells": parameters}


def _means(
    values: Float[np.ndarray, "height width channels"], group: np.ndarray, axis: int
) -> Float[np.ndarray, "rows columns channels"]:
    """Means of the entries of each group along an axis."""
    firsts = np.flatnonzero(np.diff(group, prepend=-1))
    counts = np.bincount(group).reshape([-1 if a == axis else 1 for a in range(3)])
    return np.asarray(np.add.reduceat(values, firsts, axis=axis) / counts)


def _turn(end: End) -> Iterator[Proposed]:
    """Yield the quarter turn that brings the mean image of others of the end's class closest to that of its members."""
    if end.target_class is None or end.images.shape[1] != end.images.shape[2]:
        return
    others = end.others()
    if not len(others):
        return
    members, rest = (images.mean(axis=0, dtype=np.float64) for images in (end.images, others))
    distances = [float(np.square(np.rot90(rest, quarters) - members).sum()) for quarters in range(4)]
    best = int(np.argmin(distances))
    if best:
        yield f"turn by {90 * best}°", "rotate", {"degrees": 90.0 * best}


def _by_statistics(end: End, statistics: dict[str, float]) -> list[Proposed]:
    channels = end.images.shape[3]
    found: list[tuple[float, str, str, dict[str, object]]] = []
    light = statistics["brightness"] > 0
    if channels == 3:
        color = np.array([statistics[name] for name in ("red", "green", "blue")])
        red, green, blue = (int(v) for v in np.rint(127.5 + 127.5 * color / max(np.abs(color).max(), 1e-9)))
        found.append((float(np.abs(color).max()), "tint", "tint", {"red": red, "green": green, "blue": blue}))
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
    axis = max(("row", "column"), key=lambda name: abs(statistics[name]))
    pixels = int(np.sign(statistics[axis]) or 1) * _shift(end, axis)
    shift = {"rows": pixels if axis == "row" else 0, "columns": pixels if axis == "column" else 0}
    way = {"row": ("up", "down"), "column": ("left", "right")}[axis][pixels > 0]
    words = f"shift {way} by {abs(pixels)} pixel{'' if abs(pixels) == 1 else 's'}"
    found.append((abs(statistics[axis]), words, "translate", {**shift}))
    return [(words, kind, parameters) for _, words, kind, parameters in sorted(found, key=lambda item: -item[0])]


def _shift(end: End, axis: str) -> int:
    """By how many whole pixels the members' centers lie from those of others of their classes; at least one."""
    difference = end.difference(lambda images: image_statistics(images)[axis])
    side = end.images.shape[1 if axis == "row" else 2]
    return 1 if difference is None else min(max(1, round(abs(float(difference)))), side - 1)
