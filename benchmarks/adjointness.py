"""Measure how adjoint forward and reverse products are after up to 500 steps, for every network and option of training.

    OMP_NUM_THREADS=1 python -m benchmarks.adjointness [--networks mlp cnn ...] [--steps 500]
        [--precisions float64 float32] [--out FILE] [--table]

Rules. 32 images of 12×12 in three classes, 7 targets; at weight 0.5 an epoch is four batches (10, 10, 10 and 2
examples), so 500 steps are 125 epochs. For three weightings ψ and two directions ω, normal draws,

    |⟨ψ, Jω⟩ − ⟨Jᵀψ, ω⟩| / (|ψ||Jω|),

the largest of six pairs: at most 1e-10 in float64 and 1e-4 in float32. A derivative that is not finite or zero fails.
Every network is taken through every option; weighted statistics are an option of batch normalization, which resnet9
has. The networks of millions of parameters (resnet18, resnet50, vit_b16, efficientnet_lite0) are left out.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from harness.batteries import records
from modeldiff_core.data import Examples
from modeldiff_core.metagradients import Calculus, Point, Trajectory, forward_products, process_of, reverse_products
from modeldiff_core.training import Execution, Task
from modeldiff_core.training.augmentations import Cutout, Flip, Noise, Translate
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

TRAIN, TARGETS, CLASSES, PER_EPOCH = 32, 7, 3, 4
BOUNDS = {"float64": 1e-10, "float32": 1e-4}
PLAIN = Sgd(batch_size=5, learning_rate=0.02)
NETWORKS = {
    "mlp": Network("mlp", (6,)),
    "mlp, two layers": Network("mlp", (6, 5)),
    "cnn": Network("cnn", (3, 4)),
    "lenet": Network("lenet"),
    "resnet9": Network("resnet9", (2, 3, 3, 4)),
    "head of a frozen cnn": Network("cnn", (3, 4), trainable="head"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "no momentum, no decay": {"momentum": 0.0, "weight_decay": 0.0},
    "decay 0.02": {"weight_decay": 0.02},
    "label smoothing": {"label_smoothing": 0.1},
    "constant rate": {"schedule": "constant"},
    "cosine": {"schedule": "cosine"},
    "constants of subsets": {"mean": "subset", "scale": "subset"},
    "mirrored targets": {"test_time": "flip"},
    "augmented": {"augmentations": (Flip(), Translate(), Cutout(), Noise(deviation=0.05))},
    "weighted statistics": {},
}


def images(count: int, seed: int) -> Examples:
    """Return noise with a bright band that tells the class."""
    draws = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    pixels = draws.integers(0, 120, (count, 12, 12, 1), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[3 * label : 3 * label + 3] += 90
    return Examples(pixels, labels)


def gap(network: str, option: str, steps: int, precision: Literal["float32", "float64"]) -> float:
    """Return the largest gap of a training; NaN where a product is not finite or zero."""
    recipe = replace(PLAIN, network=NETWORKS[network], epochs=steps // PER_EPOCH, **OPTIONS[option])
    calculus = Calculus(precision, "weighted" if option == "weighted statistics" else "full")
    task = Task(recipe, 5, images(TRAIN, 0), images(TARGETS, 1), CLASSES)
    trajectory = Trajectory(process_of(task, Point.everywhere(TRAIN, 0.5), 0, Execution(), calculus), steps)
    assert trajectory.process.steps == steps
    draws = torch.Generator().manual_seed(0)
    along, psi = (torch.randn(*size, generator=draws, dtype=torch.float64) for size in ((2, TRAIN), (3, TARGETS)))
    forward, back = (
        found.double() for found in (forward_products(trajectory, along), reverse_products(trajectory, psi))
    )
    size = psi.norm(dim=1)[:, None] * forward.norm(dim=1)
    gaps = ((psi @ forward.T - back @ along.T).abs() / size).numpy()
    return float(gaps.max()) if np.isfinite(gaps).all() else float("nan")


def table(found: list[dict[str, Any]]) -> str:
    """Return networks by options, float64 and float32."""
    names = [name for name in NETWORKS if any(one["network"] == name for one in found)]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    by = {(one["network"], one["option"], one["precision"]): one["gap"] for one in found}
    for option in OPTIONS:
        cells = []
        for name in names:
            pair = [by.get((name, option, precision)) for precision in BOUNDS]
            cells.append(", ".join("–" if one is None else f"{one:.0e}" for one in pair))
        lines.append(f"| {option} | " + " | ".join(cells) + " |")
    bad = [one for one in found if not one["gap"] <= BOUNDS[one["precision"]]]
    seconds = sum(one["seconds"] for one in found)
    return "\n".join(
        [*lines, f"{len(found)} trainings, {len(bad)} beyond their bound, {seconds:.0f} CPU s", *map(str, bad)]
    )


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--precisions", nargs="*", choices=BOUNDS, default=list(BOUNDS))
    parser.add_argument("--out", type=Path, default=Path("adjointness.jsonl"))
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    keys = "network", "option", "precision", "steps"
    done = {tuple(one[key] for key in keys) for one in records(asked.out)}
    for network in asked.networks:
        for option in OPTIONS:
            for precision in asked.precisions:
                spec = (network, option, precision, asked.steps)
                late = asked.table or time.process_time() - began > asked.seconds
                if late or spec in done or (option == "weighted statistics" and network != "resnet9"):
                    continue
                start = time.process_time()
                found = gap(network, option, asked.steps, precision)
                record = {**dict(zip(keys, spec, strict=True)), "gap": found, "seconds": time.process_time() - start}
                with asked.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
    print(table([one for one in records(asked.out) if one["steps"] == asked.steps]))


if __name__ == "__main__":
    main()
