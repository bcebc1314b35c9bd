"""Check that the linear datamodeling score of many targets equals scipy's, and measure its speed against a loop.

For 10,000 targets and growing numbers of held-out models, `linear_datamodeling_score` and a loop of
`scipy.stats.spearmanr` over the targets take turns in one process on one thread, with ties (margins rounded to a
quarter) and without. The loop is timed on a tenth of the targets. Times are medians over turns.

    python benchmarks/score.py [turns, 5 by default]
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import platform
import sys
from datetime import UTC, datetime
from time import perf_counter

import numpy as np
import scipy
from scipy.stats import spearmanr

from modeldiff_core.evaluation import linear_datamodeling_score
from modeldiff_core.subsets import SubsetSampler

TARGETS, TRAIN, LOOPED = 10_000, 200, 1_000


def main() -> None:
    """Print a line per case once it is measured, then the table."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    table = []
    for models in (50, 100, 200, 500):
        for ties in (False, True):
            rng = np.random.default_rng(models)
            weights = rng.normal(size=(TARGETS, TRAIN)).astype(np.float32)
            bias = rng.normal(size=TARGETS).astype(np.float32)
            masks = SubsetSampler(TRAIN, 0.5, 0).masks(range(models))
            margins = (masks @ weights.T + 7 * rng.normal(size=(models, TARGETS))).astype(np.float32)
            if ties:
                margins = np.round(margins * 4) / 4
            predicted = masks.astype(np.float32) @ weights.T + bias
            ours, loop, departure = [], [], 0.0
            for _ in range(turns):
                began = perf_counter()
                scores = linear_datamodeling_score(weights, bias, masks, margins)
                ours.append(perf_counter() - began)
                began = perf_counter()
                theirs = [spearmanr(predicted[:, j], margins[:, j]).statistic for j in range(LOOPED)]
                loop.append((perf_counter() - began) * TARGETS / LOOPED)
                departure = max(departure, float(np.abs(scores[:LOOPED] - theirs).max()))
            a, b = float(np.median(ours)), float(np.median(loop))
            assert 0.3 < scores.mean() < 0.9, "the answer is trivial"
            table.append(
                f"| {models} | {'yes' if ties else 'no'} | {a:.3f} | {b:.2f} | **{b / a:.0f}** | {departure:.0e} |"
            )
            print(table[-1], flush=True)
    print(f"\n{datetime.now(UTC):%Y-%m-%d} · {platform.machine()}, numpy {np.__version__}, scipy {scipy.__version__}")
    print(f"{TARGETS:,} targets, one thread, median of {turns} turns\n")
    print("| held-out models | ties | score, s | loop of spearmanr, s | times as fast | largest difference |")
    print("|---|---|---|---|---|---|")
    print("\n".join(table))


if __name__ == "__main__":
    main()
