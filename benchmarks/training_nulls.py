"""Run null studies of a handful of differentiated trainings: one algorithm against itself with other seeds.

    OMP_NUM_THREADS=1 python -m benchmarks.training_nulls [--rows ROW ...] [--studies 100] [--out FILE] [--table]

The rules, fixed before any run. Small studies, so that a hundred are affordable: 300 training examples and 300 targets
drawn by the study's number, an MLP of 32, ten epochs, R = 8 trainings of each, 16 weightings a side, two further
trainings of each choose the basis; as `comparison.method=matrix_free` in everything else. A and B are one algorithm
with two seeds that nothing else uses. A *false alarm* is p ≤ 0.05 of the largest direction of both sides. A row of 100
passes with at most 10 alarms; p has steps of 1/128, so that 4.7 alarms are expected of an exact test, and 11 or more
have a chance of .007.

- digits: scikit-learn's digits, peak rate 0.05, as in benchmarks/planted.py.
- digits, other slopes: the same products, those of B times exp(0.5·z_t), z_t normal: the hypothesis allows any slope of
  a target, and estimating it must not raise alarms.
- digits, rough: peak rate 0.4, where trainings have little in common.
- fashion: Fashion-MNIST, peak rate 0.02.
"""

import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom, kstest

from benchmarks.handful import Two
from benchmarks.planted import RECIPES
from benchmarks.planted_kinds import LARGE, SMALL
from harness.batteries import Battery, records
from modeldiff_core.comparison.training_directions import directions_of_trainings, repeatability
from modeldiff_core.data.digits import Digits
from modeldiff_core.data.fashion_mnist import FashionMnist
from modeldiff_core.training import Task

LEVEL, TRAININGS, SIZE = 0.05, 8, 300
COMPONENTS, TOP = 8, 12
FIRST_SEED = 3_050_000
"""Seeds of trainings begin here."""
ROWS = {
    "digits": RECIPES[SMALL],
    "digits, other slopes": RECIPES[SMALL],
    "digits, rough": replace(RECIPES[SMALL], learning_rate=0.4),
    "fashion": RECIPES[LARGE],
}
SPREAD = 0.5
"""Standard deviation of the logarithms of slopes."""


@lru_cache(maxsize=1)
def products(name: str, number: int) -> tuple[np.ndarray, float]:
    """Return J·V of both sides [2, trainings, targets, q] of a study that trains, and its seconds."""
    began = time.process_time()
    source = FashionMnist if name == "fashion" else Digits
    data = source(SIZE, SIZE, number).load()
    first = FIRST_SEED + 100_000 * list(ROWS).index(name) + 10 * number
    a, b = (Task(ROWS[name], first + side, data.train, data.test, len(data.classes)) for side in (0, 1))
    two = Two((a, b), seed=number)
    return two.products(two.basis(TRAININGS), TRAININGS), time.process_time() - began


def study(name: str, number: int) -> dict[str, Any]:
    """Return the record of one study."""
    (a, b), seconds = products("digits" if name.startswith("digits, other") else name, number)
    if name == "digits, other slopes":
        b = b * np.exp(SPREAD * np.random.default_rng(number).standard_normal(SIZE))[:, None]
    found = directions_of_trainings(a, b, COMPONENTS, top=TOP)
    return {
        "row": name,
        "study": number,
        "p": round(float(found.directions[0].p), 5),
        "of sides": {
            side: sum(one.p <= LEVEL for one in found.directions if one.side == side) for side in ("a-b", "b-a")
        },
        "common": [round(repeatability(x), 3) for x in (a, b)],
        "seconds": round(seconds, 2),
    }


def table(out: Path) -> str:
    """Return every row: studies, alarms, how p lies, what trainings have in common."""
    heads = (
        "row, studies, p ≤ .05, chance of as many at 4.7 %, p ≤ .2, p ≥ .8, p of uniformity, in common, CPU s a study"
    )
    lines = ["| " + heads.replace(", ", " | ") + " |", "|---" * 9 + "|"]
    found, patterns = list(records(out)), 2 ** (TRAININGS - 1)
    for name in ROWS:
        own = [one for one in found if one["row"] == name]
        if own:
            p = np.array([one["p"] for one in own])
            hits = int((p <= LEVEL).sum())
            chance = binom.sf(hits - 1, len(own), int(LEVEL * patterns) / patterns)
            spread = p - np.random.default_rng(0).random(len(p)) / patterns
            uniform = kstest(spread, "uniform").pvalue
            common, spent = np.mean([one["common"] for one in own]), np.mean([one["seconds"] for one in own])
            counts = f"{len(own)} | {hits} | {chance:.2g} | {(p <= 0.2).sum()} | {(p >= 0.8).sum()}"
            lines.append(f"| {name} | {counts} | {uniform:.2f} | {common:.2f} | {spent:.1f} |")
    return "\n".join(lines)


BATTERY = Battery(
    "Null studies of differentiated trainings.", list(ROWS), 100, Path("training_nulls.jsonl"), study, table
)


if __name__ == "__main__":
    BATTERY.main()
