"""What the examples at an end of a direction share: classes, metadata, and statistics of their images."""

from modeldiff_core.subpopulations.enrichment import Enrichment, enrichments
from modeldiff_core.subpopulations.members import furthest
from modeldiff_core.subpopulations.shared import MeanImage, Shared, SharedFacts, StatisticContrast, shared
from modeldiff_core.subpopulations.statistics import BANDS, image_statistics
from modeldiff_core.subpopulations.words import families, in_words

__all__ = [
    "BANDS",
    "Enrichment",
    "MeanImage",
    "Shared",
    "SharedFacts",
    "StatisticContrast",
    "enrichments",
    "families",
    "furthest",
    "image_statistics",
    "in_words",
    "shared",
]
