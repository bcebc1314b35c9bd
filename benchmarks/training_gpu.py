"""Seconds a model on a GPU: one by one, compiled, stacked, and in several processes at once, side by side in one run.

ResNet-9 (the published widths, and an eighth of them) on half of 50,000 CIFAR-shaped images, 24 epochs in batches of
512 in bfloat16; MLP 784-64-10 and CNN 16-32 on half of 2,000 Fashion-MNIST-shaped images, 15 epochs in batches of 50.
Pixels are random: time does not depend on them. Each network also as the usual loop: images on the host, one uncompiled
model, torch.optim.SGD. First, that models trained together have the margins of models trained alone.

    python -m benchmarks.training_gpu [device, cuda by default; cpu tries the script out with a little of everything]

Needs only torch, numpy, scikit-learn, safetensors and fsspec. Prints a table for RESULTS.md at the end.
"""

import platform
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from time import perf_counter

import benchmarks.bare  # noqa: F401  isort: skip
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from modeldiff_core.data import Examples
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task
from modeldiff_core.training.devices import out_of_memory
from modeldiff_core.training.probe import Measurement, alone, together
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.shards import margins_of
from modeldiff_core.training.steps import Steps

CLASSES = 10
RESNET9 = Sgd(network=Network("resnet9"), epochs=24, batch_size=512, learning_rate=0.5, precision="bfloat16")
SMALL_RESNET9 = replace(RESNET9, network=Network("resnet9", (8, 16, 32, 16)))
MLP = Sgd(network=Network("mlp", (64,)))
CNN = Sgd(network=Network("cnn", (16, 32)), learning_rate=0.05)


@dataclass(frozen=True)
class Size:
    """How much is measured: images of each shape, stacks and processes tried, seconds a measurement takes at least."""

    cifar: int
    fashion: int
    stacks: tuple[int, ...]
    small_stacks: tuple[int, ...]
    processes: tuple[int, ...]
    seconds: float
    matrix: int


WHOLE = Size(50_000, 2_000, (2, 4, 8, 16), (16, 64, 256, 1024), (2, 4), 2.0, 8192)
LITTLE = Size(64, 200, (2,), (4,), (2,), 0.01, 256)


def task(recipe: Sgd, images: int) -> Task:
    """Random images of the shape that the network is for."""
    rng = np.random.default_rng(0)
    shape = (32, 32, 3) if recipe.network.kind == "resnet9" else (28, 28, 1)
    examples, targets = (
        Examples(rng.integers(256, size=(n, *shape), dtype=np.uint8), rng.integers(CLASSES, size=n))
        for n in (images, 100)
    )
    return Task(recipe, 0, examples, targets, CLASSES)


@cache
def peak(device: str, side: int) -> float:
    """Multiplications and additions a second of large bfloat16 matrix products."""
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    seconds = []
    for _ in range(2):
        began = perf_counter()
        for _ in range(10):
            _ = matrix @ matrix
        finish(device)
        seconds.append(perf_counter() - began)
    return 10 * 2 * side**3 / seconds[-1]


def finish(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def usual_loop(device: str, given: Task, size: int, least: float) -> float:
    """Seconds a model of a plain loop."""
    recipe, (height, width, channels) = given.algorithm, given.train.images.shape[1:]
    assert isinstance(recipe, Sgd)
    net = (
        ARCHITECTURES.get(recipe.network.kind)
        .build((height, width, channels), recipe.network.sizes, CLASSES)
        .to(device)
    )
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    images, labels = torch.from_numpy(given.train.images), torch.from_numpy(given.train.labels)

    def seconds(steps: int) -> float:
        began = perf_counter()
        for _ in range(steps):
            index = torch.randint(len(images), (recipe.batch_size,))
            x = ((images[index].to(device).float() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                loss = F.cross_entropy(net(x), labels[index].to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        finish(device)
        return perf_counter() - began

    seconds(3)
    steps = 5 + int(5 * least / seconds(5))
    return seconds(steps) / steps * recipe.epochs * -(-size // recipe.batch_size)


def multiplications(recipe: Sgd, shape: tuple[int, int, int]) -> float:
    """Multiplications of a forward pass for one image."""
    net = ARCHITECTURES.get(recipe.network.kind).build(shape, recipe.network.sizes, CLASSES).eval()
    found = 0.0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal found
        found += layer.weight[0].numel() * output[0].numel()  # type: ignore[operator, index]

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    net(torch.zeros(1, shape[2], *shape[:2]))
    return found


def measured(device: str, recipe: Sgd, images: int, stacks: tuple[int, ...], size: Size) -> dict[str, Measurement]:
    """Every way that fits the device, by its name; then the fastest of them in several processes at once."""
    task_of = partial(task, recipe, images)
    given = task_of()
    ways = {"one by one": Execution(device, 1)}
    if device.startswith("cuda"):
        ways["compiled"] = Execution(device, 1, compiled=True)
    ways |= {f"stack of {n}": Execution(device, n, stack_batch_norm=True) for n in stacks}

    def steps(way: Execution) -> Steps:
        return Steps(given, SubsetSampler(images, 0.5, 0).masks(range(way.stack)), range(way.stack), way)

    found: dict[str, Measurement] = {}
    for name, way in ways.items():
        try:
            found[name] = alone(steps(way), size.seconds)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            print(f"  {name}: does not fit the memory", flush=True)
            break
        print(f"  {name}: {found[name].seconds_a_model:.4g} s a model", flush=True)
    best = min(found, key=lambda name: found[name].seconds_a_model)
    several = replace(ways[best], processes=size.processes)
    for one in together(task_of, steps(several), found[best], size.seconds):
        found[f"{best}, {one.processes} processes"] = one
        print(f"  {best}, {one.processes} processes: {one.seconds_a_model:.4g} s a model", flush=True)
    return found


def rows(device: str, title: str, recipe: Sgd, images: int, stacks: tuple[int, ...], size: Size) -> list[str]:
    """Lines of the table for one network."""
    print(f"{title}:", flush=True)
    given = task(recipe, images)
    height, width, channels = given.train.images.shape[1:]
    usual = usual_loop(device, given, images // 2, size.seconds)
    print(f"  usual loop: {usual:.4g} s a model", flush=True)
    work = 3 * 2 * multiplications(recipe, (height, width, channels)) * (images // 2) * recipe.epochs
    found = {"usual loop": (usual, 0)}
    found |= {
        name: (one.seconds_a_model, one.peak_bytes)
        for name, one in measured(device, recipe, images, stacks, size).items()
    }
    return [
        f"| {title} | {name} | {each:.4g} | {3600 / each:,.0f} | {1e5 * each / 3600:,.1f} | "
        f"{work / each / peak(device, size.matrix):.1%} | {usual / each:.1f} | {memory / 2**20:,.0f} |"
        for name, (each, memory) in found.items()
    ]


def agreement(device: str, recipe: Sgd, images: int) -> str:
    """Largest difference of margins between models trained together and alone, in float32, after a few steps."""
    exact, given = replace(recipe, precision="float32", batch_size=32, learning_rate=0.05), task(recipe, images)
    masks, ways = (
        SubsetSampler(images, 0.5, 0).masks(range(3)),
        (Execution(device, 1), Execution(device, 3, False, True)),
    )
    alone_, together_ = (
        margins_of(
            exact.train(given.train, CLASSES, masks, range(3), 0, way, steps=5).logits(given.targets.images),
            given.targets.labels,
        )
        for way in ways
    )
    return f"{np.abs(alone_ - together_).max():.1e} (their deviation: {alone_.std():.2f})"


def main() -> None:
    """Print the table."""
    device = sys.argv[1] if len(sys.argv) > 1 else "cuda"
    size = WHOLE if device.startswith("cuda") else LITTLE
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    began = perf_counter()
    for title, recipe in (("ResNet-9", SMALL_RESNET9), ("CNN 16-32", CNN), ("MLP", MLP)):
        print(f"{title}: margins together and alone differ by at most {agreement(device, recipe, 200)}", flush=True)
    lines = []
    whole = [("ResNet-9", RESNET9, size.cifar, size.stacks)] if size is WHOLE else []
    for title, recipe, images, stacks in (
        *whole,
        ("ResNet-9, an eighth of the widths", SMALL_RESNET9, size.cifar, size.stacks),
        ("CNN 16-32", CNN, size.fashion, size.small_stacks),
        ("MLP", MLP, size.fashion, size.small_stacks),
    ):
        lines += rows(device, title, recipe, images, stacks, size)
    print(
        f"\n{datetime.now(UTC):%Y-%m-%d}, {name}, Python {platform.python_version()}, torch {torch.__version__}; "
        f"bfloat16 peak {peak(device, size.matrix) / 1e12:.1f} TFLOP/s; {perf_counter() - began:.0f} s\n"
    )
    print("| network | way | s a model | models an hour | GPU-hours for 100,000 models | of the peak | × usual | MB |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
