"""Measure how much of a cue the battery's datamodels contain, by oracle directions that know its training examples.

    python -m benchmarks.planted_oracle --out FILE [--models 2400] [--seeds 2] [--data digits fashion] [--kept DIR]

The oracle direction of a cue is v = 1/n_c on the class's n_c training examples that carry it, −1/n_r on the others.
Test images are projected on it as on any direction, by their residuals with unit rows (the battery's ridge), and
judged by the rule of benchmarks/planted.py: an area under the ROC curve of at least 0.9 among the class. It is not a
bound, but a plant that it misses is unlikely to be found by another mixture of the same residuals. --out holds the
battery's results for as many models, whose way is counted alongside.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from benchmarks.planted import AUC, FIRST, RECIPES, area, battery, kept_of, key, margins, read
from benchmarks.planted_kinds import DATASETS, Truth, sample
from benchmarks.planted_ways import common_ridge
from modeldiff_core.comparison.residuals import residual_rows

WAY = "ridge-pca"


def oracle_direction(truth: Truth) -> Float[np.ndarray, " train"]:
    """Return the mean over the class's training examples that carry the cue minus the mean over the others."""
    carry, rest = truth.trained & truth.trained_among, ~truth.trained & truth.trained_among
    return np.asarray(carry / carry.sum() - rest / rest.sum())


def oracle_areas(data: str, kind: str, seed: int, models: int, kept: Path | None) -> list[float]:
    """Return, for each cue of a plant, the area under the ROC curve of its oracle direction."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        made, recipe = sample(data, kind, seed), RECIPES[data]
        folder = kept_of(kept, data, kind, seed)
        a, b = (margins(recipe, made, which, models, 1, seed, folder) for which in "ab")
        fit = common_ridge(a, b)
        theta = [fit(one.masks, one.margins) for one in (a, b)]
        residuals = residual_rows(theta[0], theta[1], np.arange(len(made.test)), normalize=True).numpy()
        return [
            area(truth.carries[truth.among], residuals[truth.among] @ oracle_direction(truth)) for truth in made.truths
        ]


def main() -> None:
    """Print a line for each plant that the oracle or the battery misses, and both counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("planted.jsonl"))
    parser.add_argument("--models", type=int, default=2400)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--data", nargs="*", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    battery_records = {
        key(r): bool(r["ways"][WAY]["found"]) for r in read(options.out) if r["models"] == options.models
    }
    plants = [s for s in battery([], options.data, options.seeds, 0) if s["kind"] is not None]
    oracle_found, way_found = [], []
    with ProcessPoolExecutor(options.workers) as pool:
        runs = [
            pool.submit(oracle_areas, s["data"], s["kind"], s["seed"], options.models, options.kept) for s in plants
        ]
        for plant, run in zip(plants, runs, strict=True):
            areas = run.result()
            oracle_found.append(sum(value >= AUC for value in areas) >= min(len(areas), FIRST))
            way_found.append(battery_records[key(plant)])
            if not (oracle_found[-1] and way_found[-1]):
                lowest = ", ".join(f"{value:.2f}" for value in sorted(areas)[:2])
                print(
                    f"- {plant['kind']}, {plant['data']}, seed {plant['seed']}: oracle {lowest}"
                    f"{'' if oracle_found[-1] else ' (missed)'}; {WAY} {'found' if way_found[-1] else 'missed'}",
                    flush=True,
                )
    both = sum(map(min, oracle_found, way_found))
    print(f"\nOf {len(plants)} plants, {options.models} models an algorithm:")
    print(f"oracle directions find {sum(oracle_found)}, {WAY} {sum(way_found)}, both {both}")


if __name__ == "__main__":
    main()
