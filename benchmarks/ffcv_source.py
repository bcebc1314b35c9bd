"""Compare FFCV with torch's DataLoader: images per second, time to the next subset, and 500 models in one process.

Claims, on 10,000 images of 32×32×3 and subsets of one half, on a busy machine of two cores:
  - at least 1.5 times the images per second of a DataLoader (in the process, or with a worker process) that flips and
    translates one image at a time, as is usual; about 1.5 times those of one that only collects pixels in memory,
  - the next subset's first batch less than 0.15 s after its request,
  - 500 models in one process, every tenth ended early: memory and threads stay flat.
Ratios are medians over interleaved repeats.

    python -m benchmarks.ffcv_source [repeats, 25 by default]
"""

import ctypes
import gc
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler

from modeldiff_core.data import Examples
from modeldiff_core.data.betons import write_beton
from modeldiff_core.identity import generator
from modeldiff_core.images import unit
from modeldiff_core.training.augmentations import Flip, Translate
from modeldiff_core.training.batches import ImageSource, Resident
from modeldiff_core.training.ffcv_source import BetonSource
from modeldiff_core.training.operations import augmented, draws_per_image

IMAGES, SIDE, SUBSET, BATCH = 10_000, 32, 5_000, 250
MODELS = 500
PIXELS = 2
OPERATIONS = (Flip(), Translate(pixels=PIXELS))
CPU = torch.device("cpu")

Batches = Callable[[np.ndarray], Iterator[torch.Tensor]]


def keep_freed_memory() -> None:
    """Make glibc keep freed arrays of up to 32 MB, which it otherwise returns to the system after each batch."""
    libc = ctypes.CDLL(None)
    for parameter, size in ((-3, 2**25), (-1, 2**30)):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
        assert libc.mallopt(parameter, size) == 1


def some_examples() -> Examples:
    """Return random images; their content does not matter for the cost of moving them."""
    rng = np.random.default_rng(0)
    return Examples(rng.integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8), rng.integers(0, 10, IMAGES))


def from_source(source: ImageSource) -> Batches:
    """Return a function that gives the batches of one pass over a subset."""
    return lambda subset: source.batches(subset, BATCH)


class OneByOne(Dataset[torch.Tensor]):
    """A dataset of images that flips and translates each when it is read."""

    def __init__(self, images: np.ndarray, changed: bool) -> None:
        self.images, self.changed = torch.from_numpy(images), changed

    def __getitem__(self, position: int) -> torch.Tensor:
        image = self.images[position]
        if not self.changed:
            return image
        if random.random() < 0.5:
            image = image.flip(1)
        padded = torch.nn.functional.pad(image, (0, 0, PIXELS, PIXELS, PIXELS, PIXELS))
        down, right = random.randint(0, 2 * PIXELS), random.randint(0, 2 * PIXELS)
        return padded[down : down + SIDE, right : right + SIDE]


def from_data_loader(images: np.ndarray, workers: int, changed: bool = False) -> Batches:
    """Return the same for one DataLoader, whose sampler is pointed at each subset."""
    sampler = SubsetRandomSampler([])
    loader = DataLoader(
        OneByOne(images, changed), BATCH, sampler=sampler, num_workers=workers, persistent_workers=workers > 0
    )

    def batches(subset: np.ndarray) -> Iterator[torch.Tensor]:
        sampler.indices = subset.tolist()
        yield from loader

    return batches


def spent(batches: Batches, subset: np.ndarray, draws: np.ndarray | None) -> tuple[float, float]:
    """Return wall-clock and CPU seconds of a pass over a subset; with draws, batches are augmented."""
    clock, cpu, at = perf_counter(), process_time(), 0
    for batch in batches(subset):
        if draws is None:
            unit(batch)
        else:
            augmented(OPERATIONS, batch, torch.from_numpy(draws[at : at + len(batch)]))
        at += len(batch)
    assert at == len(subset)
    return perf_counter() - clock, process_time() - cpu


def throughput(examples: Examples, beton: Path, repeats: int) -> None:
    """Print images per second of each path, and the ratio of FFCV's rate to it."""
    images = examples.images
    ffcv, resident = from_source(BetonSource(beton, CPU)), from_source(Resident(images, CPU))
    plain = from_data_loader(images, 0), from_data_loader(images, 1)
    tables: dict[str, dict[str, tuple[Batches, bool]]] = {
        "pixels to float": {
            "FFCV, 1 thread": (ffcv, False),
            "DataLoader": (plain[0], False),
            "DataLoader, 1 worker": (plain[1], False),
            "resident": (resident, False),
        },
        "flip, translate": {
            "FFCV, 1 thread, batches augmented": (ffcv, True),
            "DataLoader, image by image": (from_data_loader(images, 0, changed=True), False),
            "DataLoader, 1 worker, image by image": (from_data_loader(images, 1, changed=True), False),
            "DataLoader, batches augmented": (plain[0], True),
            "DataLoader, 1 worker, batches augmented": (plain[1], True),
            "resident, batches augmented": (resident, True),
        },
    }
    for title, paths in tables.items():
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in paths}
        for repeat in range(-1, repeats):
            subset = generator("order", 0, repeat + 1).permutation(IMAGES)[:SUBSET]
            width = draws_per_image(OPERATIONS, (SIDE, SIDE, 3))
            draws = generator("augmentation", 0, repeat + 1).random((SUBSET, width), dtype=np.float32)
            for name, (batches, with_draws) in paths.items():
                seconds = spent(batches, subset, draws if with_draws else None)
                if repeat >= 0:  # the first pass compiles and starts workers
                    taken[name].append(seconds)
        print(f"{title:<42}{'images/s':>10}{'FFCV is':>10}   quarters      by CPU time")
        reference = next(iter(taken.values()))
        for name, passes in taken.items():
            ratios = [other[0] / mine[0] for mine, other in zip(reference, passes, strict=True)]
            by_cpu = median(other[1] / mine[1] for mine, other in zip(reference, passes, strict=True))
            low, _, high = quantiles(ratios, n=4)
            rate = SUBSET / median(clock for clock, _ in passes)
            cpu = "" if "worker" in name else f"{by_cpu:.2f}"  # a worker's CPU time is not this process's
            print(f"  {name:<40}{rate:>10,.0f}{median(ratios):>10.2f}   {low:.2f} to {high:.2f}  {cpu}", flush=True)


def retargeting(beton: Path, repeats: int) -> None:
    """Print the time from the request of another subset to its first batch."""
    began = perf_counter()
    source = BetonSource(beton, CPU)
    next(source.batches(np.arange(SUBSET), BATCH))
    first, taken = perf_counter() - began, []
    for repeat in range(repeats * 10):
        subset = generator("order", 1, repeat).permutation(IMAGES)[:SUBSET]
        began = perf_counter()
        next(source.batches(subset, BATCH))
        taken.append(perf_counter() - began)
    print(
        f"first subset, compiled: {first:.2f} s; each next of {len(taken)}: median {median(taken) * 1e3:.1f} ms, "
        f"largest {max(taken) * 1e3:.1f} ms"
    )


def memory() -> float:
    """Return the resident MB of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def many_models(examples: Examples, beton: Path) -> None:
    """Train linear classifiers one after the other, each on its half, and print memory and threads on the way."""
    source, labels = BetonSource(beton, CPU), torch.from_numpy(examples.labels)
    print("models  threads  memory (MB)")
    began = perf_counter()
    for model in range(MODELS + 1):
        if model % 100 == 0 or model == 10:
            print(f"{model:>6}  {threading.active_count():>7}  {memory():>11.1f}", flush=True)
        weights = torch.zeros(SIDE * SIDE * 3, 10, requires_grad=True)
        order = generator("order", 2, model).permutation(IMAGES)[:SUBSET]
        for at, batch in enumerate(source.batches(order, BATCH)):
            if model % 10 == 9 and at == 3:
                break
            logits = unit(batch).flatten(1) @ weights
            loss = torch.nn.functional.cross_entropy(logits, labels[order[at * BATCH : (at + 1) * BATCH]])
            (gradient,) = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                weights -= 0.01 * gradient
    print(f"{(perf_counter() - began) / MODELS:.3f} s a model of one pass")


def main() -> None:
    """Print the tables."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    torch.set_num_threads(1)
    keep_freed_memory()
    cores = len(os.sched_getaffinity(0))
    print(f"{datetime.now(UTC):%Y-%m-%d}, {cores} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__},")
    print(f"{IMAGES:,} images {SIDE}×{SIDE}×3, subsets of {SUBSET:,}, batches of {BATCH}, {repeats} repeats")
    examples = some_examples()
    with tempfile.TemporaryDirectory() as folder:
        beton = Path(folder) / "some.beton"
        began = perf_counter()
        write_beton(examples, beton)
        print(f"writing the beton: {perf_counter() - began:.1f} s with FFCV's import")
        retargeting(beton, repeats)
        throughput(examples, beton, repeats)
        many_models(examples, beton)


if __name__ == "__main__":
    main()
