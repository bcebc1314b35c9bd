"""Everything that a subpopulation shares, measured against other examples of the same classes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from modeldiff_core.comparison.multiplicity import holm
from modeldiff_core.data import Known
from modeldiff_core.subpopulations.contrast import within_classes
from modeldiff_core.subpopulations.enrichment import Enrichment, enrichments
from modeldiff_core.subpopulations.statistics import image_statistics


@dataclass(frozen=True)
class StatisticContrast:
    """One statistic: members minus others, its 95 % interval, and p adjusted over the statistics."""

    name: str
    difference: float
    low: float
    high: float
    p_adjusted: float


@dataclass(frozen=True)
class MeanImage:
    """The members' mean image, and how far it lies from that of others with its standard error, in pixel values.

    difference, error: per pixel and channel; all zero where nothing could be compared.
    """

    mean: Float[np.ndarray, "height width channels"]
    difference: Float[np.ndarray, "height width channels"]
    error: Float[np.ndarray, "height width channels"]


@dataclass(frozen=True)
class Shared:
    """What the members share. matched: whether they were set against others of their own classes.

    Without such others (the members are whole classes, or classes are not known) they are set against all other
    examples. image: None without images, and then there are no statistics either.
    """

    members: Bool[np.ndarray, " examples"]
    enrichments: tuple[Enrichment, ...]
    matched: bool
    statistics: tuple[StatisticContrast, ...]
    image: MeanImage | None


def shared(examples: Known, members: Bool[np.ndarray, " examples"], classes: tuple[str, ...]) -> Shared | None:
    """Enrichment, contrasts of image statistics (Holm over them) and the mean image difference with its error map.

    None without members.
    """
    if not members.any():
        return None
    found = enrichments(members, examples.labels, classes, examples.metadata)
    if examples.images is None:
        return Shared(members, found, examples.labels is not None, (), None)
    return Shared(members, found, *_contrasts(examples.images, examples.labels, members))


def _contrasts(
    images: UInt8[np.ndarray, "examples height width channels"],
    classes: Int[np.ndarray, " examples"] | None,
    members: Bool[np.ndarray, " examples"],
) -> tuple[bool, tuple[StatisticContrast, ...], MeanImage]:
    """Whether others of the same classes were there to compare with, contrasts of statistics, and the mean image."""
    strength, mean = members.astype(np.float64), images[members].mean(0)
    for labels, matched in ((classes, True), (np.zeros(len(members), np.int64), False)):
        pixels = None if labels is None else within_classes(images, strength, labels)
        if labels is not None and pixels is not None:
            return matched, _statistics(images, strength, labels), MeanImage(mean, pixels.difference, pixels.error)
    blank = np.zeros(images.shape[1:])
    return False, (), MeanImage(mean, blank, blank)


def _statistics(
    images: UInt8[np.ndarray, "examples height width channels"],
    strength: Float[np.ndarray, " examples"],
    labels: Int[np.ndarray, " examples"],
) -> tuple[StatisticContrast, ...]:
    values = image_statistics(images)
    contrast = within_classes(np.stack(list(values.values()), axis=1), strength, labels)
    if contrast is None:
        return ()
    half = contrast.half_width()
    found = [
        StatisticContrast(name, float(mean), float(mean - width), float(mean + width), float(p))
        for name, mean, width, p in zip(values, contrast.difference, half, holm(contrast.p), strict=True)
    ]
    return tuple(found)
