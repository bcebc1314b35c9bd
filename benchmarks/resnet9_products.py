"""Measure products through a training of ResNet-9 at a tenth of the widths on the CPU: `make gpu` has it at full width.

    OMP_NUM_THREADS=1 python -m benchmarks.resnet9_products [--images 512] [--batch 32] [--count 32]

Rules. Random CIFAR-shaped images, ResNet-9 as shipped but for widths (6, 13, 26, 13), float32, a rate of 0.02 and one
epoch; at weight 0.5 a batch is twice as large. COUNT forward and COUNT reverse products, eight at once. CPU seconds of
one thread, the most memory of the process beyond what it had before, and equivalents: in subset models
of the same network, mean of a stack of four, measured in this run.
"""

import argparse
import platform
import resource
from dataclasses import replace
from datetime import UTC, datetime

import torch

from benchmarks.gpu.metagradients import AT_ONCE, TENTH, product_rates
from benchmarks.gpu.results import Bench
from benchmarks.gpu.tasks import RESNET9
from modeldiff_core.training.settings import Network


def peak() -> float:
    """Return the most memory that this process had so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--count", type=int, default=32)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    recipe = replace(
        RESNET9,
        network=Network("resnet9", TENTH),
        epochs=1,
        batch_size=asked.batch,
        learning_rate=0.02,
        precision="float32",
    )
    print(f"{datetime.now(UTC):%Y-%m-%d} · {platform.processor() or platform.machine()} · torch {torch.__version__}")
    print(f"{asked.images:,} images, batches of {asked.batch}, {asked.count} products of each kind, {AT_ONCE} at once")
    before = peak()
    print("| | seconds of each | equivalents of each | peak memory so far, MiB |\n|---|---|---|---|")
    for rate in product_rates(recipe, asked.images, asked.count, Bench("cpu")):
        many = f"{1 / rate.ratio:.1f}" if rate.ratio else "1"
        print(f"| {rate.case}: {rate.way} | {rate.seconds:.3f} | {many} | {peak() - before:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
