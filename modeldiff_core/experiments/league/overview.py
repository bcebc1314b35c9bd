"""What all pairs of a league show together: which differ, when every pair was a chance to be wrong.

**Multiplicity.** A pair's p is that of its largest difference: the contrast tests it against the largest eigenvalue of
each draw of its null, so that within a pair the chance of any false direction is at most α. Over the n pairs these p
are adjusted by Holm's step-down method, which holds however they depend on each other (pairs share models). So the
chance that any pair of equal algorithms is called different is at most α = ``comparison.significance``.

The smallest p of a null of D draws is 1/(D + 1), which n pairs make n/(D + 1); `least_draws` says how many it takes.

With a margin (``verdict.margin``) a pair is *different* if besides its total, value − z(1 − α/2n)·σ, lies above the
margin, and *equivalent* if value + z(1 − α/n)·σ lies below it, σ = (high − low)/(2·z(0.975)) of the interval that the
pair's own page shows (Bonferroni over pairs).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from modeldiff_core.statistics.multiplicity import holm


def least_draws(pairs: int, level: float) -> int:
    """Return the draws of a null from which on Holm's adjustment over so many pairs can reach a level: ⌈n/α⌉ − 1."""
    return math.ceil(pairs / level - 1e-9) - 1


def overview(
    summaries: Mapping[tuple[str, str], Mapping[str, Any]], level: float, margin: float = 0.0
) -> list[dict[str, Any]]:
    """Return an entry for each pair, the largest difference beyond noise first.

    ``a``, ``b``: short names. ``similarity``: mean cosine of both datamodels of a test example, with the noise of both.
    ``total``: all that differs, as a share of a datamodel's squared length, in which noise cancels. ``p`` of the
    pair alone, ``p_adjusted`` over all pairs, ``answer`` with that, ``alone`` the verdict of the pair's own page.

    Args:
        summaries: summary.json of each pair's comparison.
        level: α over all pairs.
        margin: ``verdict.margin``; 0 for none.

    """
    p = np.array([smallest_p(summary) for summary in summaries.values()])
    adjusted = holm(p)
    entries = []
    for (pair, summary), own, over in zip(summaries.items(), p, adjusted, strict=True):
        entries.append(
            {
                "a": pair[0],
                "b": pair[1],
                "similarity": summary["similarity"],
                "total": summary["total"],
                "p": float(own),
                "p_adjusted": float(over),
                "answer": answer(summary["total"], float(over), len(p), level, margin),
                "alone": summary["verdict"]["answer"],
                "directions": sum(bool(one["significant"]) for one in summary["directions"]),
                "confirmed": [one["name"] for one in confirmed(summary)],
            }
        )
    return sorted(entries, key=lambda entry: -entry["total"]["value"])


def smallest_p(summary: Mapping[str, Any]) -> float:
    """Return the p of a pair's largest difference, adjusted over its directions; 1 where none was tested."""
    return min((one["p_adjusted"] for one in summary["directions"] if one["p_adjusted"] is not None), default=1.0)


def confirmed(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the transformations of a pair that distinguish its algorithms, the largest difference first."""
    found = [one for one in (*summary["transformations"], *summary["found"]) if one["distinguishing"]]
    return sorted(found, key=lambda one: -abs(one["difference"]))


def answer(total: Mapping[str, Any], p: float, pairs: int, level: float, margin: float) -> str:
    """Return different, equivalent or undecided for a pair among so many, at a level over all of them.

    Args:
        total: All that differs: value, low, high of a 95 % interval.
        p: Of its largest difference, adjusted over all pairs.
        pairs: How many there are.
        level: α over all.
        margin: 0 for none.

    """
    if margin <= 0:
        return "different" if p <= level else "undecided"
    low, high, value = total["low"], total["high"], total["value"]
    if low is None or high is None or value is None:
        return "undecided"
    deviation = (high - low) / (2 * float(ndtri(0.975)))
    if value + float(ndtri(1 - level / pairs)) * deviation < margin:
        return "equivalent"
    above = value - float(ndtri(1 - level / (2 * pairs))) * deviation > margin
    return "different" if above and p <= level else "undecided"


def algorithm_entries(
    names: Sequence[str], summaries: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return what is known of each algorithm, its short name among it, from the first pair that it is in."""
    entries: dict[str, dict[str, Any]] = {}
    for pair, summary in summaries.items():
        for side, name in zip(("a", "b"), pair, strict=True):
            entries.setdefault(name, {**summary["algorithms"][side], "lds": summary["lds"][side]})
    return [{"short": name, **entries[name]} for name in names]


def matrix(names: Sequence[str], entries: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any] | None]]:
    """Return the entry of every two algorithms [row, column], the same either way; None for one with itself."""
    found = {frozenset((entry["a"], entry["b"])): entry for entry in entries}
    return [[found.get(frozenset((row, column))) for column in names] for row in names]
