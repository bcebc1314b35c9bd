"""Statistics that know neither images nor models: many tests at once, ranks, trends, intervals and exchanges."""

from modeldiff_core.statistics.contrast import Contrast, within_classes
from modeldiff_core.statistics.correlation import correlation
from modeldiff_core.statistics.exchange import exchanged, p_values
from modeldiff_core.statistics.multiplicity import holm
from modeldiff_core.statistics.participation import participation, unseen_share
from modeldiff_core.statistics.parts import Parts
from modeldiff_core.statistics.ranks import average_ranks, rank_correlation
from modeldiff_core.statistics.trend import Trend, trend
from modeldiff_core.statistics.two_way import Difference, Interval, difference_test, two_way_interval

__all__ = [
    "Contrast",
    "Difference",
    "Interval",
    "Parts",
    "Trend",
    "average_ranks",
    "correlation",
    "difference_test",
    "exchanged",
    "holm",
    "p_values",
    "participation",
    "rank_correlation",
    "trend",
    "two_way_interval",
    "unseen_share",
    "within_classes",
]
