"""Growth of the lasso with training examples, models and targets; each point is a process with its peak of memory."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.regression_fit import GAP, fit, planted
from modeldiff_core.datamodels.lasso import gram_megabytes

POINTS: list[tuple[int, int, int, dict[str, Any]]] = [
    *((n, 4 * n, 1000, {}) for n in (500, 2000, 8000)),
    *((2000, m, 1000, {}) for m in (2000, 32000)),
    *((2000, 8000, targets, {}) for targets in (100, 4000)),
    (2000, 8000, 1000, {"memory_budget_mb": 1}),
]
"""Training examples with four times as many models, models, targets, and one point without counts."""


def growth() -> None:
    """Print a line per point; the parts grow in n²·m, in targets·n·m and in targets·n²·iterations."""
    titles = "n|m|targets|products with|s|Gram|XᵀY|path|refit|products a target|peak MB over data|foreseen for counts"
    print("| " + titles.replace("|", " | ") + " |\n" + "|---" * (titles.count("|") + 1) + "|")
    for point in POINTS:
        command = [sys.executable, "-m", "benchmarks.regression_growth", json.dumps(point)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def one_point(train: int, models: int, targets: int, options: dict[str, Any]) -> None:
    """Measure one point in this process, which runs nothing else."""
    torch.set_num_threads(1)
    masks, margins = planted(train, models, targets)
    fit(masks[:64, :64], margins[:64, :4])
    before = memory_now()
    out, meter, seconds = fit(masks, margins, **options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    products = meter.operations / (2 * targets * train**2)
    parts = " | ".join(f"{meter.seconds.get(name, 0):.2f}" for name in ("Gram", "XᵀY", "path", "refit"))
    how = "masks' bits" if options else "counts"
    print(f"| {train:,} | {models:,} | {targets:,} | {how} | {seconds:.1f} | {parts} | {products:.0f} |", end="")
    print(f" {peak - before:.0f} | {gram_megabytes(models, train, torch.device('cpu')):.0f} |")
    if out.duality_gap.max() > GAP:
        print(f"largest gap {out.duality_gap.max():.1e}")


def memory_now() -> float:
    """Return the resident megabytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    one_point(*json.loads(sys.argv[1]))
