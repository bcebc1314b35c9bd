"""Means and intervals over the replicates of a cell."""

from collections.abc import Sequence
from typing import Any

from modeldiff_core.experiments.featured.groups import FeatureSet
from modeldiff_core.experiments.featured.intervals import Interval, interval_of
from modeldiff_core.experiments.simplicity.measures import METRICS

SMALLEST_DROP = 0.02
"""Drop of accuracy with everything randomized below which a network relies on nothing that could be told."""


def cell_of(found: Sequence[dict[str, Any]], sets: Sequence[FeatureSet], attacks: Sequence[str]) -> dict[str, Any]:
    """Return the summary of a cell from what was measured of each replicate.

    reliance on a set: (accuracy − accuracy with the set randomized)/(accuracy − accuracy with all randomized); None
    where the second drop is below SMALLEST_DROP in any replicate.
    """
    return {
        "train_accuracy": interval_of([one["train_accuracy"] for one in found]),
        "standard": _metrics([one["standard"] for one in found]),
        "all": _metrics([one["all"] for one in found]),
        "randomised": {s.name: _metrics([one["randomised"][s.name] for one in found]) for s in sets},
        "rest": {s.name: _metrics([one["rest"][s.name] for one in found]) for s in sets},
        "reliance": {s.name: _reliance(found, s.name) for s in sets},
        "attacked": {name: _attacked([one["attacked"][name] for one in found], sets) for name in attacks},
    }


def _metrics(found: Sequence[dict[str, float]]) -> dict[str, Interval]:
    return {name: interval_of([one[name] for one in found]) for name in METRICS}


def _reliance(found: Sequence[dict[str, Any]], name: str) -> Interval | None:
    drops = [
        (
            one["standard"]["accuracy"] - one["randomised"][name]["accuracy"],
            one["standard"]["accuracy"] - one["all"]["accuracy"],
        )
        for one in found
    ]
    if min(whole for _, whole in drops) < SMALLEST_DROP:
        return None
    return interval_of([drop / whole for drop, whole in drops])


def _attacked(found: Sequence[dict[str, Any]], sets: Sequence[FeatureSet]) -> dict[str, Any]:
    shares = {s.name: [one["share"][s.name] for one in found] for s in sets}
    return {
        "each": interval_of([one["each"] for one in found]),
        "universal": interval_of([one["universal"] for one in found]),
        "share": {name: None if None in share else interval_of(share) for name, share in shares.items()},
        "fixed": {
            s.name: {way: interval_of([one["fixed"][s.name][way] for one in found]) for way in ("each", "universal")}
            for s in sets
        },
    }


def norms_of(found: Sequence[dict[str, Any]], sets: Sequence[FeatureSet]) -> dict[str, dict[str, Interval | None]]:
    """Return the norms that an attack needs by what is held ('' for nothing) and way; None if one was not found."""
    summary: dict[str, dict[str, Interval | None]] = {}
    for name in ("", *(one.name for one in sets)):
        summary[name] = {}
        for way in ("each", "universal"):
            norms = [one[name][way] for one in found]
            summary[name][way] = None if None in norms else interval_of(norms)
    return summary
