"""Show why a plant is lost: the largest eigenvalue of a contrast beside draws of its null, by how slopes are taken.

    python -m benchmarks.planted_draws [--data digits] [--seed 50] [--kinds KIND ...] [--kept DIR]

Plants of benchmarks/planted.py. Three contrasts: *held*, whose slopes are those of cleared
margins, drawn towards one multiple, as studies take it; *free*, the contrast before version 7, whose slopes are those
of margins that still hold the leading direction; and *identical*, without slopes of its own. Of each the largest
eigenvalue, mean and deviation of DRAWS draws, the AUC of the first direction for the first cue, and the share of the
targets whose slope is 0 or infinite in a half of the models, before it is drawn anywhere.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.planted import MODELS, RECIPES, area, kept_of, margins
from benchmarks.planted_kinds import DATASETS, KINDS, Sample, sample
from benchmarks.planted_ways import Margins
from modeldiff_core.comparison.contrast import Contrast, contrast_of, find_contrast, sample_of
from modeldiff_core.comparison.contrast_null import null_sample
from modeldiff_core.comparison.slopes import EDGE, slope_angles

DRAWS = 19


def line(a: Margins, b: Margins, made: Sample, name: str) -> str:
    """Return what a contrast and its null look like."""
    of = sample_of((a.masks, b.masks), (a.margins, b.margins))
    fits = of.fits()
    contrast: Contrast = contrast_of(of, fits, "identical" if name == "identical" else "reliance")
    if name == "free":
        contrast = replace(contrast, alike=None)
    found = find_contrast(contrast, fits, 1)
    draws = null_sample(of, contrast, found.steady).largest(range(DRAWS), 0)
    value, truth = float(found.eigenvalues[0]), made.truths[0]
    auc = area(truth.carries[truth.among], found.projections[truth.among, 0])
    edges = 0.0
    if contrast.fixed is None:
        outside = contrast.rows(fits)[1]
        angles = np.stack([slope_angles(*fits.products(half, outside, clear=contrast.cleared)) for half in (0, 1)])
        edges = float(((angles < EDGE) | (angles > np.pi / 2 - EDGE)).mean())
    far = (value - draws.mean()) / draws.std()
    return f"{name} | {value:.2f} | {draws.mean():.2f} ± {draws.std():.2f} | {far:+.1f} | {auc:.2f} | {edges:.3f}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=DATASETS, default=DATASETS[0])
    parser.add_argument("--seed", type=int, default=50)
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--kept", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("| planted | slopes | eigenvalue | draws | deviations above | AUC | slopes of 0 or ∞ |")
    print("|---|---|---|---|---|---|---|")
    with threadpool_limits(1):
        for kind in asked.kinds:
            made, count = sample(asked.data, kind, asked.seed), MODELS[asked.data]
            folder = kept_of(asked.kept, asked.data, kind, asked.seed)
            a, b = (margins(RECIPES[asked.data], made, side, count, 1, asked.seed, folder) for side in "ab")
            for name in ("free", "held", "identical"):
                print(f"| {kind} | {line(a, b, made, name)} |", flush=True)


if __name__ == "__main__":
    main()
