"""Everything that a subpopulation shares, measured against other examples of the same classes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.comparison.multiplicity import holm
from modeldiff_core.data import Examples
from modeldiff_core.subpopulations.contrast import Contrast, within_classes
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
class Shared:
    """What the members share. matched: whether they were set against others of their own classes.

    Without such others (the members are whole classes) they are set against all other examples. mean_image: of the
    members; difference, error: per pixel and channel, in pixel values; all zero where nothing could be compared.
    """

    members: Bool[np.ndarray, " examples"]
    enrichments: tuple[Enrichment, ...]
    matched: bool
    statistics: tuple[StatisticContrast, ...]
    mean_image: Float[np.ndarray, "height width channels"]
    difference: Float[np.ndarray, "height width channels"]
    error: Float[np.ndarray, "height width channels"]


def shared(examples: Examples, members: Bool[np.ndarray, " examples"], classes: tuple[str, ...]) -> Shared | None:
    """Enrichment, contrasts of image statistics (Holm over them) and the mean image difference with its error map.

    None without members.
    """
    if not members.any():
        return None
    strength = members.astype(np.float64)
    labels, matched = examples.labels, True
    pixels = within_classes(examples.images, strength, labels)
    if pixels is None:
        labels, matched = np.zeros_like(examples.labels), False
        pixels = within_classes(examples.images, strength, labels)
    statistics: tuple[StatisticContrast, ...] = ()
    if pixels is None:
        blank = np.zeros(examples.images.shape[1:])
        pixels = Contrast(blank, blank, 0)
    else:
        statistics = _statistics(examples, strength, labels)
    found = enrichments(members, examples.labels, classes, examples.metadata)
    mean = examples.images[members].mean(0)
    return Shared(members, found, matched, statistics, mean, pixels.difference, pixels.error)


def _statistics(
    examples: Examples, strength: Float[np.ndarray, " examples"], labels: np.ndarray
) -> tuple[StatisticContrast, ...]:
    values = image_statistics(examples.images)
    contrast = within_classes(np.stack(list(values.values()), axis=1), strength, labels)
    if contrast is None:
        return ()
    half = contrast.half_width()
    found = [
        StatisticContrast(name, float(mean), float(mean - width), float(mean + width), float(p))
        for name, mean, width, p in zip(values, contrast.difference, half, holm(contrast.p), strict=True)
    ]
    return tuple(found)
