"""What was found without the groups: effects, by how much they shrink, and whether that was predicted."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.evaluation.removal import beyond_random, difference, shrinkage
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.removal.confirmed import Confirmed
from modeldiff_core.stages.removal import Behind, WithoutGroup, read_group, read_without, removals_of
from modeldiff_core.stages.search import BOTH
from modeldiff_core.statistics import Interval, average_ranks, correlation, two_way_interval
from modeldiff_core.store import ObjectStore
from modeldiff_core.study.removal import RemovalConfig

LEAST_PAIRS = 4
"""Removals from which on a correlation is told."""


def summarized(
    store: ObjectStore,
    comparison: Comparison,
    asked: RemovalConfig,
    found: Sequence[tuple[Confirmed, Behind | None]],
) -> dict[str, Any]:
    """Return the content of summary.json from the stored groups and models."""
    level = comparison.study.effects.level
    entries = [_entry(store, one, spec, asked, level) for one, spec in found]
    predicted, measured = (np.array([value for entry in entries for value in pairs_of(entry)[at]]) for at in (0, 1))
    parts = [pairs_of(entry, random=False) for entry in entries]
    return {
        "study": comparison.study.name,
        "algorithms": comparison.names,
        "comparison": comparison.summary.record,
        "examples": len(comparison.trainings[0].load().train),
        "models": asked.models,
        "differences": entries,
        "calibration": {
            "removals": len(predicted),
            "rank_correlation": rank_correlation(predicted, measured),
            "rank_correlation_of_parts": rank_correlation(
                np.array([value for pair in parts for value in pair[0]]),
                np.array([value for pair in parts for value in pair[1]]),
            ),
        },
    }


def pairs_of(entry: Mapping[str, Any], *, random: bool = True) -> tuple[list[float], list[float]]:
    """Return predicted and measured shrinkage of every group that was removed; random: with the random groups."""
    groups = [*entry.get("parts", ()), *(entry.get("random", ()) if random else ())]
    return [group["predicted"] for group in groups], [group["shrinkage"]["value"] for group in groups]


def rank_correlation(x: Float[np.ndarray, " pairs"], y: Float[np.ndarray, " pairs"]) -> float | None:
    """Return Spearman's correlation; None of fewer than LEAST_PAIRS pairs, or where one side does not vary."""
    if len(x) < LEAST_PAIRS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(correlation(average_ranks(x[:, None]), average_ranks(y[:, None]))[0])


def _entry(
    store: ObjectStore, one: Confirmed, spec: Behind | None, asked: RemovalConfig, level: float
) -> dict[str, Any]:
    """Return what is said of one difference."""
    entry: dict[str, Any] = {
        "number": one.number,
        "side": one.difference["side"],
        "directions": one.difference["directions"],
        "share": one.difference["share"],
        "p_adjusted": one.difference["p_adjusted"],
        "transformation": None,
    }
    if spec is None or one.judged is None:
        return entry
    record, test = read_group(store, spec), one.judged.measured.test
    removals = removals_of(record)
    changes: list[dict[str, Float[np.ndarray, "models images"]]] = [
        {which: read_without(store, WithoutGroup(spec, which, number, asked.models))[0].probability for which in BOTH}
        for number in range(len(removals))
    ]
    differences = [difference(each) for each in changes]
    before, sizes = differences[0], record["sizes"]
    whole = len(sizes)
    random = differences[whole + 1 :]
    removed = [
        {
            "size": len(removals[at]),
            "predicted": record["predicted"][at - 1],
            "effect": {**{which: float(changes[at][which].mean()) for which in BOTH}, **_difference(differences[at])},
            "shrinkage": _interval(shrinkage(before, differences[at], level)),
        }
        for at in range(1, len(removals))
    ]
    return {
        **entry,
        "transformation": test.name,
        "class": test.target_class,
        "group": {
            name: record[name] for name in ("train", "order", "class", "classes", "of_class", "words", "other_classes")
        },
        "images": before.shape[1],
        "effect": {**{which: float(changes[0][which].mean()) for which in BOTH}, **_difference(before)},
        "parts": removed[:whole],
        "random": removed[whole:],
        "shrinkage": removed[whole - 1]["shrinkage"],
        "without": removed[whole - 1]["effect"],
        "random_shrinkage": float(np.mean([group["shrinkage"]["value"] for group in removed[whole:]])),
        "beyond_random": _interval(beyond_random(before, differences[whole], random, level)),
    }


def _difference(values: Float[np.ndarray, "models images"]) -> dict[str, Any]:
    return {"difference": _interval(two_way_interval(values))}


def _interval(one: Interval) -> dict[str, float]:
    return {"value": one.mean, "low": one.low, "high": one.high}
