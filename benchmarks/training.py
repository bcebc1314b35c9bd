"""Compare the platform's ways of training with one-by-one training, in models per minute, in one run.

CPU, one process per core, all of them busy, 1,000-image subsets of Fashion-MNIST, 15 epochs in batches of 50:
  - loader:   one model after the other, plain torch loop over torch's DataLoader,
  - memory:   the same loop over tensors in memory,
  - single:   the platform's one-by-one trainer in torch,
  - stacked:  the platform's stacked trainer in torch, in float32 and bfloat16,
  - compiled: the platform's compiled trainer, the default for such networks, in float32 and bfloat16.
The ways take turns, so that a busy machine slows all of them alike; the table has medians over turns. Then follows the
cost of 100 to 10,000 models and of 250 to 2,000 images. GPUs: the package gpu.

    python -m benchmarks.training [turns, 3 by default] [networks: mlp, cnn, small; all by default]
"""

import multiprocessing
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from modeldiff_core.data import Dataset
from modeldiff_core.data.digits import Digits
from modeldiff_core.data.fashion_mnist import FashionMnist
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution
from modeldiff_core.training.schedules import learning_rate
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

MLP = Sgd(network=Network("mlp", (64,)))
CNN = Sgd(network=Network("cnn", (16, 32)), learning_rate=0.05)
SMALLER_CNN = Sgd(network=Network("cnn", (8, 16)), learning_rate=0.05)
NETWORKS = {"mlp": ("MLP 784-64-10", MLP), "cnn": ("CNN 16-32", CNN), "small": ("CNN 8-16", SMALLER_CNN)}
STACK = 8
GOALS = {"MLP 784-64-10": (10.0, 10.0), "CNN 16-32": (4.0, 2.5)}
"""Minimum ratios to the loader and to memory; the mean accuracy must be within 0.3 points of the loader's."""


def plain_loop(recipe: Sgd, data: Dataset, mask: np.ndarray, loader: bool) -> float:
    """Train a torch.nn.Sequential in a plain loop, and return the accuracy on the test set."""
    height, width, channels = data.image_shape
    if recipe.network.kind == "mlp":
        net = nn.Sequential(nn.Flatten(), nn.Linear(height * width * channels, 64), nn.ReLU(), nn.Linear(64, 10))
    else:
        first, second = recipe.network.sizes
        convolutions = (nn.Conv2d(channels, first, 3, padding=1), nn.Conv2d(first, second, 3, padding=1))
        stages = [layer for convolution in convolutions for layer in (convolution, nn.ReLU(), nn.MaxPool2d(2))]
        net = nn.Sequential(*stages, nn.Flatten(), nn.Linear(second * (height // 4) * (width // 4), 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.9, weight_decay=recipe.weight_decay)

    def inputs(images: np.ndarray) -> torch.Tensor:
        return (torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 255 - 0.5) / 0.5

    x, y = inputs(data.train.images[mask]), torch.from_numpy(data.train.labels[mask])
    batches = DataLoader(TensorDataset(x, y), recipe.batch_size, shuffle=True) if loader else None
    steps = recipe.epochs * -(-len(x) // recipe.batch_size)

    def in_memory() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for index in torch.randperm(len(x)).split(recipe.batch_size):
            yield x[index], y[index]

    step = 0
    for _ in range(recipe.epochs):
        for images, labels in batches if batches is not None else in_memory():
            rate = learning_rate(recipe.schedule, step, steps, recipe.learning_rate, recipe.peak)
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
            step += 1
    with torch.no_grad():
        guesses = net(inputs(data.test.images)).argmax(1).numpy()
    return float((guesses == data.test.labels).mean())


def platform_way(recipe: Sgd, data: Dataset, masks: np.ndarray, models: range, execution: Execution) -> list[float]:
    """Train with the platform, and return the accuracies on the test set."""
    trained = recipe.train(data.train, 10, masks, models, 0, execution)
    guesses = trained.logits(data.test.images).argmax(-1)
    return [float(accuracy) for accuracy in (guesses == data.test.labels).mean(1)]


def ways(recipe: Sgd, data: Dataset) -> dict[str, tuple[int, Callable[[range], list[float]]]]:
    """Return, for each way, the models that it trains in one turn and the function that trains them."""
    sampler = SubsetSampler(len(data.train), 0.5, 0)

    def plain(loader: bool) -> Callable[[range], list[float]]:
        return lambda models: [plain_loop(recipe, data, mask, loader) for mask in sampler.masks(models)]

    def ours(changed: Sgd, execution: Execution) -> Callable[[range], list[float]]:
        return lambda models: platform_way(changed, data, sampler.masks(models), models, execution)

    few = 2 if recipe.network.kind == "cnn" else STACK
    together = Execution(stack=STACK, native=False)
    return {
        "loader": (few, plain(True)),
        "memory": (few, plain(False)),
        "single": (few, ours(recipe, Execution(stack=1, native=False))),
        "stacked": (STACK, ours(recipe, together)),
        "stacked bfloat16": (STACK, ours(replace(recipe, precision="bfloat16"), together)),
        "compiled": (STACK, ours(recipe, Execution())),
        "compiled bfloat16": (STACK, ours(replace(recipe, precision="bfloat16"), Execution())),
    }


def work(recipe: Sgd, process: int, turns: int, start: object, out: object) -> None:
    """Run every way in turn in one process, each started together with the other processes."""
    torch.set_num_threads(1)
    torch.manual_seed(process)
    data = FashionMnist(n_train=2000, n_test=2000).load()
    tried = ways(recipe, data)
    for _, way in tried.values():
        way(range(1))
    for turn in range(turns):
        first = (process * turns + turn) * STACK
        for name, (count, way) in tried.items():
            start.wait()  # type: ignore[attr-defined]
            began = perf_counter()
            accuracies = way(range(first, first + count))
            out.put((name, (perf_counter() - began) / count, accuracies))  # type: ignore[attr-defined]


def side_by_side(title: str, recipe: Sgd, turns: int) -> None:
    """Run all ways on all cores, and print models per minute and the ratios."""
    cores = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    start, out = context.Barrier(cores), context.Queue()
    processes = [context.Process(target=work, args=(recipe, k, turns, start, out)) for k in range(cores)]
    for process in processes:
        process.start()
    results = [out.get() for _ in range(cores * turns * len(ways(recipe, tiny())))]
    for process in processes:
        process.join()
    seconds: dict[str, list[float]] = {}
    accuracies: dict[str, list[float]] = {}
    for name, each, of_models in results:
        seconds.setdefault(name, []).append(each)
        accuracies.setdefault(name, []).extend(of_models)
    typical = {name: float(np.median(values)) for name, values in seconds.items()}
    usual = float(np.mean(accuracies["loader"]))
    print("| network | way | s a model | models a minute | × loader | × memory | accuracy (n) | against loader's |")
    print("|---|---|---|---|---|---|---|---|")
    for name, each in typical.items():
        accuracy = float(np.mean(accuracies[name]))
        difference = 100 * (accuracy - usual)
        print(
            f"| {title} | {name} | {each:.4f} | {60 * cores / each:,.0f} | {typical['loader'] / each:.2f} | "
            f"{typical['memory'] / each:.2f} | {accuracy:.1%} ({len(accuracies[name])}) | {difference:+.2f} |",
            flush=True,
        )
    for way in ("compiled", "compiled bfloat16"):
        for baseline, goal in zip(("loader", "memory"), GOALS.get(title, ()), strict=False):
            ratio = typical[baseline] / typical[way]
            print(f"{title}: {way} is {ratio:.1f} × {baseline} (goal {goal:g}): {'met' if ratio >= goal else 'missed'}")


def tiny() -> Dataset:
    """Return a data set that is just large enough to list the ways."""
    return Digits(n_train=20, n_test=20).load()


def linear_cost() -> None:
    """Print the seconds per model for more models and more images: MLP on digits, one process, shards of 100."""
    torch.set_num_threads(1)
    recipe = Sgd(network=Network("mlp", (32,)), epochs=5)
    print("\nMLP 64-32-10 on digits, 5 epochs, one process: cost of models and images")
    for images, models in ((500, 100), (500, 1000), (500, 10_000), (250, 1000), (1000, 1000), (1700, 1000)):
        data = Digits(n_train=images, n_test=90).load()
        sampler = SubsetSampler(images, 0.5, 0)
        began = perf_counter()
        for first in range(0, models, 100):
            numbers = range(first, first + 100)
            platform_way(recipe, data, sampler.masks(numbers), numbers, Execution())
        seconds = perf_counter() - began
        print(
            f"{models:>6} models, subsets of {images // 2:>4}: {seconds:>7.1f} s, {1e3 * seconds / models:.2f} ms a "
            f"model, {1e6 * seconds / models / (images // 2):.1f} µs a model and image",
            flush=True,
        )


def main() -> None:
    """Print all tables."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    began = perf_counter()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__},")
    print(f"load averages before {load}; {turns} turns")
    for name in sys.argv[2:] or NETWORKS:
        side_by_side(*NETWORKS[name], turns)
    if not sys.argv[2:]:
        linear_cost()
    print(f"{perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
