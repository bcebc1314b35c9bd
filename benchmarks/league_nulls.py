"""Run leagues of four simulated algorithms: how often a pair of equal ones is called different, and one that is.

    python -m benchmarks.league_nulls [--rows ROW ...] [--first 0] [--studies 30] [--out FILE] [--seconds S] [--table]

The rules, fixed before any run: a *false alarm* is a league in which any pair of algorithms with the same datamodels
is called different: p of its largest difference, adjusted by Holm's method over all six pairs, at most 0.05, with
199 draws of each null (``experiments.league``). Each null row of 30 leagues passes with at most 4 leagues with a
false alarm (a procedure of exactly 5 % fails that with probability .02). Rows in which one algorithm has a planted
direction are reported without a rule: how many of its three pairs are called different, and false alarms among the
other three.
Beside it stands, without a rule either, in how many leagues a pair would be called different without the adjustment.

Leagues are simulated as the pairs of ``benchmarks.nulls`` are: 150 examples, 100 targets, 800 models of each on the
same masks, which explain 40 % of the margins; what is shared by all pairs is drawn once. Seeds: those of the rows of
``benchmarks.nulls``, and (row, league, algorithm). One JSON line per finished league is appended to --out; leagues in
that file are not computed again.
"""

import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from benchmarks.nulls import LEVEL, simulated
from harness.batteries import Battery, records
from harness.null_draws import against_null
from modeldiff_core.statistics.multiplicity import holm

DRAWS = 199
ALGORITHMS = 4
MOST = 4
"""Most leagues of thirty with a false alarm."""
ROWS = {
    "four equal": "identical",
    "four equal, half of the noise shared": "identical, half of the noise shared",
    "one with a planted direction, 0.3": "planted in A, 0.3",
}
"""The row of ``benchmarks.nulls`` that the first two algorithms are made by."""


def league(row: str, number: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the masks and the margins of four algorithms; all but the first have the same datamodels.

    The third and the fourth have the second's expected margins, and noise of their own with the deviations of its
    noise; where the first two share noise, they share half of theirs with the second.
    """
    made = simulated(ROWS[row], number)
    expected, noise = made.expected[1], made.margins[1] - made.expected[1]
    shared = 0.5 if "shared" in row else 0.0
    margins = [*made.margins]
    for algorithm in range(2, ALGORITHMS):
        rng = np.random.default_rng([*row.encode(), number, algorithm])
        own = noise.std(0) * rng.normal(size=noise.shape)
        margins.append((expected + np.sqrt(shared) * noise + np.sqrt(1 - shared) * own).astype(np.float32))
    return made.masks[0], margins


def pair_p(masks: np.ndarray, a: np.ndarray, b: np.ndarray, seed: int) -> tuple[float, int]:
    """Return the p of the largest difference of two algorithms, and the draws that it took."""
    test = against_null((masks, masks), (a, b), 1, DRAWS, seed)
    return test.p, len(test.drawn)


def study(row: str, number: int) -> dict[str, Any]:
    """Return the record of one league: p of each pair, alone and over all pairs."""
    began = time.process_time()
    masks, margins = league(row, number)
    pairs = list(combinations(range(ALGORITHMS), 2))
    found = [pair_p(masks, margins[a], margins[b], number) for a, b in pairs]
    p = np.array([one for one, _ in found])
    return {
        "row": row,
        "study": number,
        "pairs": pairs,
        "p": p.tolist(),
        "p_adjusted": holm(p).tolist(),
        "draws": sum(draws for _, draws in found),
        "seconds": round(time.process_time() - began, 2),
    }


def table(out: Path) -> str:
    """Return every row: leagues, those with a false alarm, and what is found of the algorithm that differs."""
    lines = [
        "| row | leagues | with a false alarm | at most | without the adjustment | pairs of the planted one found |",
        "|---|---|---|---|---|---|",
    ]
    found = list(records(out))
    for row in ROWS:
        own = [one for one in found if one["row"] == row]
        if not own:
            continue
        planted = "planted" in row
        equal = [[0 not in pair or not planted for pair in one["pairs"]] for one in own]
        alarms, alone = (
            sum(
                any(p <= LEVEL for p, same in zip(one[key], at, strict=True) if same)
                for one, at in zip(own, equal, strict=True)
            )
            for key in ("p_adjusted", "p")
        )
        hits = sum(
            p <= LEVEL
            for one, at in zip(own, equal, strict=True)
            for p, same in zip(one["p_adjusted"], at, strict=True)
            if not same
        )
        most = "" if planted or len(own) != 30 else f"{MOST} ({binom.sf(MOST, 30, LEVEL):.2f})"
        share = f"{hits} of {3 * len(own)}" if planted else ""
        lines.append(f"| {row} | {len(own)} | {alarms} | {most} | {alone} | {share} |")
    return "\n".join(lines)


BATTERY = Battery("Leagues of four simulated algorithms.", list(ROWS), 30, Path("league_nulls.jsonl"), study, table)


if __name__ == "__main__":
    BATTERY.main()
