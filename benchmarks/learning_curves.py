"""Check that more models give a higher score, on nested prefixes of the models of two studies.

For each study all models of the budget are trained and each algorithm's learning curve is followed to its end, with one
regression per prefix. A point's score is the mean over targets of the rank correlation on the held-out models, the same
for all points; its gain is the difference from the previous point. Both have 95 % intervals over targets.

    python -m benchmarks.learning_curves [folder of the store, a temporary one by default]
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from time import perf_counter

import numpy as np

from modeldiff_core.evaluation.law import LearningCurve
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.plan import ComparisonPlan
from modeldiff_core.identity import plain
from modeldiff_core.plan import Listing, Step, state_of
from modeldiff_core.plan.perform import perform_work
from modeldiff_core.stages.curve import Curve, read_curve
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_platform.flows.cli.compose import request

STUDIES = (
    ("digits_watermark", ("subsets.models=4000",)),
    ("fashion_watermark", ("subsets.models=6000",)),
)


def curves(store: StoreSettings, overrides: list[str]) -> tuple[Comparison, list[LearningCurve]]:
    """Train the missing subset models of a study, and follow both curves to the end."""
    comparison, objects, began = Comparison.of(request(overrides).study), ObjectStore(store), perf_counter()
    plan, budget, settings = ComparisonPlan(comparison), comparison.study.subsets.models, plain(store)
    keys = Listing(objects, tuple(training.prefix for training in comparison.trainings))

    def missing(steps: Iterable[Step]) -> list[Step]:
        return [step for step in steps if state_of(objects, keys, step).state == "missing"]

    with ProcessPoolExecutor() as workers:
        subsets = [step for step in plan.training().steps if step.label.group.endswith(": subsets")]
        cpu = {"device": "cpu", "stack": 50}
        jobs = [workers.submit(perform_work, settings, step.work(), cpu) for step in missing(subsets)]
        for number, job in enumerate(jobs, 1):
            job.result()
            if number % 10 == 0 or number == len(jobs):
                print(f"{overrides[0]}: {number} of {len(jobs)} shards, {perf_counter() - began:.0f} s", flush=True)
        for job in [workers.submit(perform_work, settings, step.work()) for step in missing(plan.curves().steps)]:
            job.result()
    print(f"{overrides[0]}: curves followed, {perf_counter() - began:.0f} s", flush=True)
    specs = [Curve.of(comparison.study, training) for training in comparison.trainings]
    followed = [read_curve(objects, spec, budget) for spec in specs]
    return comparison, [curve for curve in followed if curve is not None]


def interval(values: np.ndarray, digits: int) -> str:
    """Format the mean over targets with its 95 % interval."""
    mean, reach = values.mean(), 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{mean:.{digits}f} [{mean - reach:.{digits}f}, {mean + reach:.{digits}f}]"


def table(comparison: Comparison, both: list[LearningCurve]) -> Iterator[str]:
    """Yield a line per point, and the change of the score from the first point to the last."""
    n_held_out = comparison.study.subsets.evaluation_models
    yield f"{comparison.study.name}, {both[0].scores.shape[1]} targets, {n_held_out} models held out for evaluation\n"
    yield "| models | score, A | gain | score, B | gain |"
    yield "|---|---|---|---|---|"
    for at, models in enumerate(both[0].models):
        cells = []
        for curve in both:
            cells.append(interval(curve.scores[at], 3))
            cells.append(interval(curve.scores[at] - curve.scores[at - 1], 4) if at else "")
        yield f"| {models + n_held_out:,} | " + " | ".join(cells) + " |"
    yield ""
    for curve, name in zip(both, "AB", strict=True):
        falls = -np.diff(curve.means)
        yield (
            f"{name}: {interval(curve.scores[-1] - curve.scores[0], 3)} from first point to last; lower than the "
            f"point before {(falls > 0).sum()} times of {len(falls)}, by {max(0.0, falls.max()):.4f} at most"
        )
    yield ""


def main() -> None:
    """Print each study's table once it is measured."""
    began = perf_counter()
    print(f"{datetime.now(UTC):%Y-%m-%d} · {os.cpu_count()} cores, {platform.machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        store = StoreSettings(sys.argv[1] if len(sys.argv) > 1 else folder)
        for study, changes in STUDIES:
            print(*table(*curves(store, [f"study={study}", *changes])), sep="\n", flush=True)
    print(f"{perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
