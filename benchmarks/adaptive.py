"""Check that adaptive rounds stop near the number of models at which the full learning curve reaches the threshold.

For each study of learning_curves.py the curves are followed to the end of the budget, and the law of the whole curve
gives the number of models at which a round's gain falls below `least_gain`; a study needs the larger number of its two
algorithms. Adaptive rounds know the curve only up to their last round. The table compares both numbers; the lines above
it compare the final score with its prediction by the law of the first half of the models.

    python -m benchmarks.adaptive [folder of the store, a temporary one by default]
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import platform
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from time import perf_counter

import numpy as np
from scipy.optimize import brentq

from benchmarks.learning_curves import STUDIES, curves
from modeldiff_core.evaluation.law import FittedCurve, LearningCurve
from modeldiff_core.evaluation.rounds import has_saturated
from modeldiff_core.store import StoreSettings

THRESHOLDS = (0.015, 0.01, 0.0075)
"""Values of `least_gain`; larger ones are reached before the law has enough points."""


def needed(curve: LearningCurve, growth: float, least_gain: float) -> float:
    """Return the fitted models at which a round's gain, by the law of the whole curve, falls to `least_gain`."""
    law = FittedCurve.of(curve).law
    low, high = float(law.first), float(curve.models[-1]) * 10

    def excess(models: float) -> float:
        return law.score(models) - law.score(models / growth) - least_gain

    return low if excess(low) < 0 else float(brentq(excess, low, high)) if excess(high) < 0 else high


def stopped(both: list[LearningCurve], growth: float, least_gain: float) -> int:
    """Return the fitted models at which adaptive rounds stop, which see one more point at a time."""
    for end in range(1, len(both[0].models) + 1):
        if has_saturated([LearningCurve(c.models[:end], c.scores[:end]) for c in both], growth, least_gain):
            break
    return int(both[0].models[end - 1])


def rows(store: StoreSettings) -> Iterator[str]:
    """Yield one line of the table per study and threshold."""
    for study, changes in STUDIES:
        comparison, both = curves(store, [f"study={study}", *changes])
        subsets = comparison.study.subsets
        growth, n_held_out = subsets.rounds.growth, subsets.evaluation_models
        for curve, name in zip(both, "AB", strict=True):
            part = curve.models <= curve.models[-1] / 2
            end = FittedCurve.of(LearningCurve(curve.models[part], curve.scores[part])).score(float(curve.models[-1]))
            print(
                f"{study} {name}: {curve.means[0]:.3f} to {curve.means[-1]:.3f}, largest fall from a point to the next "
                f"{max(0.0, float(-np.diff(curve.means).min())):.4f}; the end by the law of the first half "
                f"{end.value:.3f} [{end.low:.3f}, {end.high:.3f}]",
                flush=True,
            )
        for least_gain in THRESHOLDS:
            full = max(needed(c, growth, least_gain) for c in both) + n_held_out
            stop = stopped(both, growth, least_gain) + n_held_out
            if full > subsets.models:
                continue
            yield f"| {study} | {least_gain:g} | {full:,.0f} | {stop:,} | {stop / full - 1:+.0%} |"


def main() -> None:
    """Print each line once it is measured, then the table."""
    began = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        store = StoreSettings(sys.argv[1] if len(sys.argv) > 1 else folder)
        table = []
        for row in rows(store):
            table.append(row)
            print(row, flush=True)
    print(f"\n{datetime.now(UTC):%Y-%m-%d} · {os.cpu_count()} cores, {platform.machine()}")
    print(f"{perf_counter() - began:.0f} s\n")
    print("| study | least gain a round | models by the full curve | adaptive stops at | difference |")
    print("|---|---|---|---|---|")
    print("\n".join(table))


if __name__ == "__main__":
    main()
