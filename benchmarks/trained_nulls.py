"""Run null studies of trained models through the contrast: one algorithm against itself with other seeds.

    OMP_NUM_THREADS=1 python -m benchmarks.trained_nulls [--rows ROW ...] [--studies 40] [--out FILE] [--table]

The rules, fixed before any run. Data: scikit-learn's digits as shipped (1,000 training examples, 797 targets), the MLP
of digits_watermark. Every study draws masks of its own and trains two algorithms on the same ones with seeds that
nothing else uses; the rows differ in the number of models of each, as many as, fewer and more than the training
examples, and in what may differ under the hypothesis of reliance:

- models M: M models of each.
- mean of 2: A's margin is the mean of two models of a mask, B's that of one, 1,000 masks.

99 draws of the null, the studies' default. A *false alarm* is p ≤ 0.05 of the largest direction. A row of 40 passes
with at most 5 alarms (a test of exactly 5 % fails that with probability .014). Studies are appended to --out; those
that are there are not computed again.
"""

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binom

from harness.batteries import Battery, records
from harness.null_draws import against_null
from modeldiff_core.study import load_dataset
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task, train_subset_models
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

LEVEL, DRAWS = 0.05, 99
FIRST_SEED = 2_040_000
"""Seeds of models begin here."""
STACK = 100
ROWS = {"models 500": (500, 1), "models 1000": (1000, 1), "models 2000": (2000, 1), "mean of 2": (1000, 2)}
"""Of each row the models, and how many of A's make one margin."""


@cache
def task(seed: int) -> Task:
    """Return the algorithm with a seed."""
    data = load_dataset(DatasetConfig.model_validate({"kind": "digits"}))
    recipe = Sgd(network=Network("mlp", (64,)), learning_rate=0.1)
    return Task(recipe, seed, data.train, data.test, len(data.classes))


def margins(seed: int, masks: Bool[np.ndarray, "models train"]) -> Float[np.ndarray, "models targets"]:
    """Return the margins of models of a seed on these masks."""
    parts = [
        train_subset_models(task(seed), masks[start : start + STACK], range(start, start + STACK), Execution())
        for start in range(0, len(masks), STACK)
    ]
    return np.concatenate([part.margins for part in parts])


def study(name: str, number: int) -> dict[str, Any]:
    """Return the record of one study."""
    began, (models, means) = time.process_time(), ROWS[name]
    first = FIRST_SEED + 100_000 * list(ROWS).index(name) + 10 * number
    masks = SubsetSampler(len(task(first).train), 0.5, first).masks(range(models))
    a = np.mean([margins(first + k, masks) for k in range(means)], axis=0).astype(np.float32)
    b = margins(first + means, masks)
    trained = time.process_time() - began
    test = against_null((masks, masks), (a, b), 1, DRAWS, number)
    drawn = test.drawn
    return {
        "row": name,
        "study": number,
        "p": test.p,
        "value": round(test.value, 4),
        "draws": len(drawn),
        "mean of draws": round(float(drawn.mean()), 4),
        "deviation of draws": round(float(drawn.std()), 4),
        "trained": round(trained, 2),
        "seconds": round(time.process_time() - began, 2),
    }


def table(out: Path) -> str:
    """Return every row: studies, alarms, and where values lie among their draws."""
    lines = [
        "| row | studies | p ≤ .05 | chance of as many at 5 % | p ≤ .2 | p ≥ .8 | value less mean, in deviations |",
        "|---|---|---|---|---|---|---|",
    ]
    found = list(records(out))
    for name in ROWS:
        own = [one for one in found if one["row"] == name]
        if own:
            p = np.array([one["p"] for one in own])
            hits, far = int((p <= LEVEL).sum()), _deviations(own)
            chance = binom.sf(hits - 1, len(own), LEVEL)
            lines.append(
                f"| {name} | {len(own)} | {hits} | {chance:.2g} | {(p <= 0.2).sum()} | {(p >= 0.8).sum()} | "
                f"{far.mean():+.2f}, deviation {far.std():.2f} |"
            )
    return "\n".join(lines)


def _deviations(own: Sequence[dict[str, Any]]) -> Float[np.ndarray, " studies"]:
    return np.array([(one["value"] - one["mean of draws"]) / max(one["deviation of draws"], 1e-12) for one in own])


BATTERY = Battery("Null studies of trained models.", list(ROWS), 40, Path("trained_nulls.jsonl"), study, table)


if __name__ == "__main__":
    BATTERY.main()
