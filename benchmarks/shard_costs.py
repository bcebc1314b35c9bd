"""Measure what a shard costs besides training, against the size of the data set.

For 1,000 to 50,000 images of 32×32×3 in an .npz archive: reading it and hashing it, both once a process, and then the
stage that trains a shard, of 10 models of an algorithm whose training takes no time. Its masks grow with the data
set, since a mask has an entry for each example; they are timed apart, as is the rest of the shard.

    python benchmarks/shard_costs.py [shards, 20 by default]
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np

from modeldiff_core.data import Examples
from modeldiff_core.responses.models import SubsetModels
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_core.study import load_dataset, parse_study, trainings_of
from modeldiff_core.training import ALGORITHMS, Execution

SIZES, TARGETS, MODELS = (1_000, 5_000, 10_000, 50_000), 1_000, 10


@dataclass(frozen=True)
class Guesses:
    """Models whose logits are random: each is another, and none looked at an image."""

    models: tuple[int, ...]
    n_classes: int

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return logits [models, images, classes] that depend on the model's number alone."""
        sizes = (len(images), self.n_classes)
        return np.stack([np.random.default_rng(m).standard_normal(sizes, np.float32) for m in self.models])

    def weights(self) -> dict[str, np.ndarray]:
        """Return no weights."""
        return {}


@dataclass(frozen=True)
class Untrained:
    """An algorithm whose training takes no time."""

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        """Accept all images."""

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: np.ndarray,
        models: Sequence[int],
        seed: int,
        execution: Execution,
    ) -> Guesses:
        """Return one guess for each model."""
        return Guesses(tuple(models), n_classes)

    def load(
        self, weights: Mapping[str, np.ndarray], image_shape: tuple[int, int, int], n_classes: int, execution: Execution
    ) -> Guesses:
        """Raise, since there are no weights."""
        raise NotImplementedError


def study_of(path: Path) -> dict[str, Any]:
    """Return a study of the archive."""
    algorithm = {"kind": "untrained", "seed": 1, "recipe": {}}
    return {
        "name": "costs",
        "dataset": {"kind": "npz", "path": str(path)},
        "algorithm_a": {"name": "a", **algorithm},
        "algorithm_b": {"name": "b", **algorithm, "seed": 2},
        "subsets": {"shard_size": MODELS, "models": 1000},
    }


def row(folder: Path, size: int, shards: int) -> list[str]:
    """Return the cells of one size."""
    rng = np.random.default_rng(size)
    path = folder / f"{size}.npz"
    arrays = {
        f"{axis}_{part}": value
        for part, count in (("train", size), ("test", TARGETS))
        for axis, value in (
            ("x", rng.integers(256, size=(count, 32, 32, 3), dtype=np.uint8)),
            ("y", rng.integers(10, size=count)),
        )
    }
    np.savez(path, **arrays)
    study = parse_study(study_of(path))
    began = perf_counter()
    data = load_dataset(study.dataset)
    read = perf_counter() - began
    began = perf_counter()
    assert data.fingerprint
    hashed = perf_counter() - began
    training = trainings_of(study, data)[0]
    store, responses = ObjectStore(StoreSettings(str(folder / f"store-{size}"))), SubsetModels(training)
    sampler = training.sampler(size)
    whole, masks, task = [], [], []
    for index in range(shards):
        began = perf_counter()
        responses.make(store, index, Execution(native=False))
        whole.append(perf_counter() - began)
        began = perf_counter()
        sampler.masks(range(index * MODELS, (index + 1) * MODELS))
        masks.append(perf_counter() - began)
        began = perf_counter()
        training.task()
        task.append(perf_counter() - began)
    shard, drawn, prepared = (1e3 * float(np.median(times)) for times in (whole, masks, task))
    once = [f"{size:,}", f"{1e3 * read:.0f}", f"{1e3 * hashed:.1f}"]
    return [*once, f"{shard:.1f}", f"{drawn:.2f}", f"{shard - drawn:.1f}", f"{prepared:.3f}"]


def main() -> None:
    """Print the table."""
    shards = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"{datetime.now(UTC):%Y-%m-%d} · shards of {MODELS} models, {TARGETS:,} targets, median of {shards} shards\n")
    print("| training images | read, ms | hash, ms | a shard, ms | its masks | the rest | its data and algorithm |")
    print("|---|---|---|---|---|---|---|")
    builtin = {**ALGORITHMS._builtin, "untrained": Untrained}
    with tempfile.TemporaryDirectory() as folder, patch.object(ALGORITHMS, "_builtin", builtin):
        for size in SIZES:
            print(f"| {' | '.join(row(Path(folder), size, shards))} |", flush=True)


if __name__ == "__main__":
    main()
