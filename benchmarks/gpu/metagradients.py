"""Products through a training of ResNet-9 on CIFAR-shaped images: adjointness, and what a product takes."""

from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter, process_time

import torch
from torch import Tensor

from benchmarks.gpu.results import Bench, Comparison, Rate, Result
from benchmarks.gpu.tasks import RESNET9, SMALL_RESNET9, exact_convolutions, finish, random_task
from modeldiff_core.metagradients import Point, Trajectory, forward_products, process_of, reverse_products
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task, train_subset_models
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

ADJOINT = 1e-4
"""Largest |⟨ψ, Jω⟩ − ⟨Jᵀψ, ω⟩| relative to |ψ||Jω| in float32."""
TENTH = (6, 13, 26, 13)
"""A tenth of the widths of ResNet-9."""
PROBES, AT_ONCE = 32, 8


def metagradient_products(bench: Bench) -> Iterator[Result]:
    """Yield adjointness at an eighth of the widths, then seconds and memory of 32 forward and 32 reverse products."""
    calm = replace(
        SMALL_RESNET9, epochs=1 if bench.quick else 2, batch_size=16, learning_rate=0.02, precision="float32"
    )
    with exact_convolutions():
        small = _trajectory(random_task(calm, 32, 8), bench)
        directions, weightings = _probes(small, 4)
        along, back = forward_products(small, directions), reverse_products(small, weightings)
    gap = (weightings @ along.T - back @ directions.T).abs()
    size = weightings.norm(dim=1)[:, None] * along.norm(dim=1)
    yield Comparison("products of ResNet-9 (1/8) are adjoint", float((gap / size).max()), ADJOINT)
    images, batch, count = (32, 8, 2) if bench.quick else (2_048, 128, PROBES)
    widths = Network("resnet9", TENTH) if bench.quick else Network("resnet9")
    wide = replace(RESNET9, network=widths, epochs=1, batch_size=batch, learning_rate=0.02, precision="float32")
    yield from product_rates(wide, images, count, bench)


def product_rates(recipe: Sgd, images: int, count: int, bench: Bench) -> Iterator[Result]:
    """Yield the seconds of a training at weight 0.5 and of a product of either kind, beside those of a subset model.

    ratio: of the seconds of a subset model that is trained in a stack of 4 to these, so 1/ratio is the equivalents.
    Seconds are those of the clock on a GPU, and of the processor without one, which others may use beside.
    """
    clock = perf_counter if bench.cuda else process_time
    task, name = (
        random_task(recipe, images, 8 if bench.quick else 100),
        f"ResNet-9, {images:,} images, {recipe.epochs} epoch",
    )
    models = range(4)
    execution = Execution(bench.device, len(models))
    masks = SubsetSampler(images, 0.5, 0).masks(models)
    train_subset_models(task, masks, models, execution)  # loads the libraries
    finish(bench.device)
    began = clock()
    train_subset_models(task, masks, models, execution)
    finish(bench.device)
    usual = (clock() - began) / len(models)
    yield Rate(name, "a subset model, in a stack of 4", usual)
    if bench.cuda:
        torch.cuda.reset_peak_memory_stats()
    began = clock()
    trajectory = _trajectory(task, bench)
    finish(bench.device)
    spent = clock() - began
    yield Rate(name, "a training at weight 0.5", spent, ratio=usual / spent)
    directions, weightings = _probes(trajectory, count)
    for way, product, probes in (
        ("forward", forward_products, directions),
        ("reverse", reverse_products, weightings),
    ):
        began = clock()
        for part in probes.split(AT_ONCE):
            product(trajectory, part)
        finish(bench.device)
        spent = (clock() - began) / count
        peak = torch.cuda.max_memory_allocated() / 2**20 if bench.cuda else None
        yield Rate(f"{name}, {way} products", f"{AT_ONCE} at once", spent, "product", None, usual / spent, peak)


def _trajectory(task: Task, bench: Bench) -> Trajectory:
    """Run a training at weight 0.5."""
    return Trajectory(process_of(task, Point.everywhere(len(task.train), 0.5), 0, Execution(bench.device)))


def _probes(trajectory: Trajectory, count: int) -> tuple[Tensor, Tensor]:
    """Return random directions over the training set and weightings of the targets."""
    process = trajectory.process
    draws = torch.Generator().manual_seed(0)
    sizes = (process.units, process.targets)
    directions, weightings = (torch.randn(count, size, generator=draws).to(process.weights) for size in sizes)
    return directions, weightings
