"""Everything that a subpopulation shares, measured against other examples of the same classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num, UInt8

from modeldiff_core.data import Known
from modeldiff_core.data.kinds import PICTURES
from modeldiff_core.data.known import features_of, noun_of
from modeldiff_core.statistics import exchanged, within_classes
from modeldiff_core.subpopulations.enrichment import Enrichment, enrichments
from modeldiff_core.subpopulations.statistics import image_statistics

IMAGE = PICTURES.noun
FIRST_DRAWS, DRAWS, LEAST_DRAWS = 199, 9999, 999
"""Random exchanges of members: first, and, where those leave a chance, the new ones behind p, as many as WORK allows.

A report has several lists for each direction, and p has to stay small after correction over all of them.
"""
WORK = 4e9
"""Most products of members, values and draws for one list."""
HOPELESS = 0.05
"""Least p in the first draws with which nothing of a list is followed up."""


@dataclass(frozen=True)
class StatisticContrast:
    """One statistic: members minus others, its 95 % interval, and p adjusted over the statistics (see `exchanged`)."""

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
class Place:
    """Where the mean image differs most for its spread, by how much, and p adjusted over all pixels and channels."""

    row: int
    column: int
    difference: float
    error: float
    p_adjusted: float


@dataclass(frozen=True)
class SharedFacts:
    """What the members share, without their images and positions: what a report is written from.

    noun: what an example is called; statistics of images have words of their own, others are named.
    """

    matched: bool
    enrichments: tuple[Enrichment, ...]
    statistics: tuple[StatisticContrast, ...]
    place: Place | None
    noun: str = IMAGE

    @classmethod
    def restored(cls, facts: Mapping[str, Any]) -> "SharedFacts":
        """Return them from plain values."""
        place = facts.get("place")
        return cls(
            facts["matched"],
            tuple(Enrichment(**one) for one in facts["enrichments"]),
            tuple(StatisticContrast(**one) for one in facts["statistics"]),
            None if place is None else Place(**place),
            facts.get("noun", IMAGE),
        )


@dataclass(frozen=True)
class Shared:
    """What the members share. matched: whether they were set against others of their own classes.

    Without such others (the members are whole classes, or classes are not known) they are set against all other
    examples. statistics: of images, or of the named numbers of examples that have some, such as the columns of a
    table. image: None without images. place: None where nothing could be compared.
    """

    members: Bool[np.ndarray, " examples"]
    enrichments: tuple[Enrichment, ...]
    matched: bool
    statistics: tuple[StatisticContrast, ...]
    image: MeanImage | None
    place: Place | None
    noun: str = IMAGE


def shared(examples: Known, members: Bool[np.ndarray, " examples"], classes: tuple[str, ...]) -> Shared | None:
    """Return enrichments, contrasts of statistics and, of images, the mean image difference with its error map.

    Differences and their errors are those of `within_classes`, p of values those of `enrichments`, p of statistics
    those of `exchanged`. None without members.
    """
    if not members.any():
        return None
    found = enrichments(members, examples.labels, classes, examples.metadata)
    if examples.images is None:
        matched, statistics = _named(features_of(examples), examples.labels, members)
        return Shared(members, found, matched, statistics, None, None, noun_of(examples))
    return Shared(members, found, *_contrasts(examples.images, examples.labels, members))


def _contrasts(
    images: UInt8[np.ndarray, "examples height width channels"],
    classes: Int[np.ndarray, " examples"] | None,
    members: Bool[np.ndarray, " examples"],
) -> tuple[bool, tuple[StatisticContrast, ...], MeanImage, Place | None]:
    """Return whether others of the same classes were there to compare with, and all that was compared."""
    strength, mean = members.astype(np.float64), images[members].mean(0)
    for labels, matched in ((classes, True), (np.zeros(len(members), np.int64), False)):
        pixels = None if labels is None else within_classes(images, strength, labels)
        if labels is not None and pixels is not None:
            image = MeanImage(mean, pixels.difference, pixels.error)
            return (
                matched,
                _statistics(image_statistics(images), members, labels),
                image,
                _place(image, images, members, labels),
            )
    blank = np.zeros(images.shape[1:])
    return False, (), MeanImage(mean, blank, blank), None


def _named(
    features: Mapping[str, Float[np.ndarray, " examples"]],
    classes: Int[np.ndarray, " examples"] | None,
    members: Bool[np.ndarray, " examples"],
) -> tuple[bool, tuple[StatisticContrast, ...]]:
    """Return whether others of the same classes were there to compare with, and what was compared."""
    for labels, matched in ((classes, True), (np.zeros(len(members), np.int64), False)):
        found = _statistics(features, members, labels) if features and labels is not None else ()
        if found:
            return matched, found
    return classes is not None, ()


def _statistics(
    named: Mapping[str, Float[np.ndarray, " examples"]],
    members: Bool[np.ndarray, " examples"],
    labels: Int[np.ndarray, " examples"],
) -> tuple[StatisticContrast, ...]:
    """Return the difference of each named number within classes, with p by exchange of the members."""
    values = np.stack(list(named.values()), axis=1)
    contrast = within_classes(values, members.astype(np.float64), labels)
    if contrast is None:
        return ()
    half, p = contrast.half_width(), _chances(values, members, labels)
    found = [
        StatisticContrast(name, float(mean), float(mean - width), float(mean + width), float(chance))
        for name, mean, width, chance in zip(named, contrast.difference, half, p, strict=True)
    ]
    return tuple(found)


def _chances(
    values: Num[np.ndarray, "examples *shape"],
    members: Bool[np.ndarray, " examples"],
    labels: Int[np.ndarray, " examples"],
) -> Float[np.ndarray, "*shape"]:
    """Return p adjusted over the values (see `exchanged`): of few draws where even those leave no chance, else of many.

    The many are drawn again, so p is exact; what is given up after the few would not have been named.
    """
    first = exchanged(values, members, labels, FIRST_DRAWS)
    if first.min() > HOPELESS:
        return first
    products = float(members.sum()) * float(np.prod(values.shape[1:]))
    draws = int(np.clip(WORK / products, LEAST_DRAWS, DRAWS))
    return exchanged(values, members, labels, draws)


def _place(
    found: MeanImage,
    images: UInt8[np.ndarray, "examples height width channels"],
    members: Bool[np.ndarray, " examples"],
    labels: Int[np.ndarray, " examples"],
) -> Place:
    """Of the places of the least p the one of the largest t; without any spread but the difference t is infinite."""
    p = _chances(images, members, labels)
    size = np.abs(found.difference)
    t = np.divide(size, found.error, out=np.where(size > 0, np.inf, 0.0), where=found.error > 0)
    row, column, channel = np.unravel_index(int(np.where(p == p.min(), t, -1.0).argmax()), t.shape)
    at = row, column, channel
    return Place(int(row), int(column), float(found.difference[at]), float(found.error[at]), float(p[at]))
