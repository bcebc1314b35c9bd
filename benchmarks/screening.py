"""Measure how far out the most extreme model of each shipped study is, against a model whose margins are multiplied.

The bounds of modeldiff_core.margins.screening rest on this: what cannot be a model among the others lies beyond WILD
times the usual size and reach, which no model of a shipped study may come near and which margins times 30 have to pass.
For every study of conf/study the first subset models of A and of B are trained in this process and screened; then the
margins of one model, the one of median reach, are multiplied by 30, 1,000 and 1,000,000 and screened again.

    python benchmarks/screening.py [most models, 400 by default] [study ...]
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from modeldiff_core.margins import OUTPUTS
from modeldiff_core.margins.screening import Screened, screen
from modeldiff_core.study import StudyConfig, Training, load_dataset, trainings_of
from modeldiff_core.training import Execution, train_subset_models
from modeldiff_platform.flows.cli.compose import request

SHIPPED = sorted(path.stem for path in (Path(__file__).parents[1] / "conf/study").glob("*.yaml"))
HOT = "digits_null algorithm_a.recipe.learning_rate=1.0"
"""A study that is not shipped: a learning rate at which a third of the models stay below half accuracy."""
SHARD = 50
SECONDS = 240.0
"""Time after which no further shard of an algorithm is begun."""
FACTORS = (30.0, 1e3, 1e6)


def margins_of(training: Training, models: int) -> np.ndarray:
    """Return margins [models, targets] of the first subset models, as many as the time allows."""
    task, began, parts = training.task(), time.perf_counter(), []
    sampler = training.sampler(len(task.train))
    for start in range(0, models, SHARD):
        if parts and time.perf_counter() - began > SECONDS:
            break
        numbers = range(start, min(start + SHARD, models))
        parts.append(train_subset_models(task, sampler.masks(numbers), numbers, Execution()).margins)
    return np.concatenate(parts)


def judged(training: Training, margins: np.ndarray) -> Screened:
    """Return the verdicts on all models."""
    right_above = OUTPUTS.get(training.output).right_above
    classes = len(training.load().classes)
    return screen(margins, np.ones(len(margins), dtype=bool), right_above=right_above, classes=classes)


def lines(name: str, study: StudyConfig, most: int) -> Iterator[str]:
    """Yield a row of the table for each algorithm of a study."""
    for training in trainings_of(study, load_dataset(study.dataset)):
        margins = margins_of(training, min(most, study.subsets.models))
        found = judged(training, margins)
        at = int(np.argsort(found.reach)[len(margins) // 2])
        caught = []
        for factor in FACTORS:
            changed = margins.copy()
            changed[at] *= factor
            again = judged(training, changed)
            caught.append(f"{min(again.size[at], again.reach[at]):.3g}{'' if again.wild[at] else ' (kept)'}")
        yield (
            f"| {name} | {training.algorithm.name} | {len(margins)} × {margins.shape[1]} "
            f"| {found.size.max():.2f} | {found.reach.min():.2f}–{found.reach.max():.2f} "
            f"| {np.minimum(found.size, found.reach).max():.2f} "
            f"| {found.right.min():.3f}, {np.median(found.right):.3f} "
            f"| {int(found.wild.sum())}, {int(found.strange.sum())} | {' · '.join(caught)} |"
        )


def main() -> None:
    """Print the table."""
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    names = sys.argv[2:] or [*SHIPPED, HOT]
    print(f"{datetime.now(UTC):%Y-%m-%d} · {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(
        "| study | algorithm | models × targets | largest size | reach | both at most | accuracy, least, median ",
        end="",
    )
    print("| left out, named | × 30 · × 1,000 · × 1,000,000 |\n|---|---|---|---|---|---|---|---|---|")
    for name in names:
        study, *overrides = name.split(" ")
        asked = request([f"study={study}", *overrides]).study
        assert isinstance(asked, StudyConfig)
        for line in lines(name, asked, most):
            print(line, flush=True)


if __name__ == "__main__":
    main()
