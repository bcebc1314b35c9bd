"""Seconds a model, by the clock: the usual loop, the platform's ways, several processes, and a whole shard.

ResNet-9 (the published widths, and an eighth of them) on half of 50,000 CIFAR-shaped images, 24 epochs in batches of
512 in bfloat16; MLP 784-64-10 and CNN 16-32 on half of 2,000 Fashion-MNIST-shaped images, 15 epochs in batches of 50.
The usual loop has its images on the host, one uncompiled model and torch.optim.SGD. All but the whole shard are
extrapolated from some steps, set-up included. The whole shard is the work of one of the platform's workers: masks,
initial weights, training and margins, of two launches of the fastest way (eight models at least) and of as many epochs
as there is time for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.gpu.results import Bench, NotHereError, Rate
from benchmarks.gpu.tasks import CLASSES, finish, has_compiler, matrix_peak, random_task
from modeldiff_core.models import ARCHITECTURES
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task, train_subset_models
from modeldiff_core.training.devices import out_of_memory
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.step_timer import StepTimer
from modeldiff_core.training.tuning import Measurement, time_alone, time_together


@dataclass(frozen=True)
class Race:
    """A network and the ways in which it is trained.

    images: of the data set; half of them are in a subset. stacks: models in one launch. processes: at once on one
    device. compiled: torch.compile alone, which takes half a minute of compilation for each size of batch. little:
    whether a quick run tries it; it then has few images, one small stack and two processes at most.
    """

    title: str
    recipe: Sgd
    images: int
    stacks: tuple[int, ...]
    processes: tuple[int, ...] = ()
    compiled: bool = False
    little: bool = True

    def quick(self) -> "Race":
        """Return the same with a little of everything."""
        images = 64 if self.recipe.network.kind == "resnet9" else 200
        return replace(self, images=images, stacks=(4,), processes=self.processes[:1])


class _Clock:
    """Makes rates of seconds a model."""

    def __init__(self, race: Race, given: Task, bench: Bench) -> None:
        self.title = race.title
        height, width, channels = given.train.images.shape[1:]
        forward = 2 * multiplications(race.recipe, (height, width, channels))
        self.work = 3 * forward * (race.images // 2)  # of an epoch; a backward pass is two forward passes
        self.epochs, self.peak = race.recipe.epochs, matrix_peak(bench.device, 1024 if bench.quick else 8192)
        self.usual: float | None = None

    def rate(self, way: str, seconds: float, bytes_: int | None = None, epochs: int | None = None) -> Rate:
        """Return the rate of one way; epochs: of the measured models, if not the recipe's."""
        epochs = epochs or self.epochs
        ratio = self.usual and self.usual * epochs / self.epochs / seconds
        megabytes = bytes_ / 2**20 if bytes_ else None
        share = self.work * epochs / seconds / self.peak
        return Rate(self.title, way, seconds, share=share, ratio=ratio, megabytes=megabytes)


def race(given: Race, bench: Bench) -> Iterator[Rate]:
    """Yield the rate of every way that fits the device's memory and the time."""
    if bench.quick and not given.little:
        raise NotHereError("too large for a quick run")
    if given.compiled and not (bench.cuda and has_compiler()):
        raise NotHereError("torch.compile is for a GPU, and needs a C compiler")
    this = given.quick() if bench.quick else given
    least = 0.01 if bench.quick else 1.0
    task_of = partial(random_task, this.recipe, this.images)
    task = task_of()
    clock = _Clock(this, task, bench)
    clock.usual = usual_loop(bench.device, task, this.images // 2, least)
    yield clock.rate("usual loop", clock.usual)

    def steps(way: Execution) -> StepTimer:
        masks = SubsetSampler(this.images, 0.5, 0).masks(range(way.stack))
        return StepTimer(task, masks, range(way.stack), way)

    measured: dict[str, tuple[Execution, Measurement]] = {}
    took = 0.0
    for name, way in ways(this, bench):
        if bench.left < 2 * took + 20 * least:
            break
        began = perf_counter()
        try:
            found = time_alone(steps(way), least)
        except RuntimeError as error:
            if not measured or not out_of_memory(error):
                raise
            continue
        took = perf_counter() - began
        measured[name] = (way, found)
        yield clock.rate(name, found.seconds_a_model, found.peak_bytes)
    best = min(measured, key=lambda name: measured[name][1].seconds_a_model)
    way, found = measured[best]
    yield whole_shard(clock, task, best, way, found, bench)
    for processes in this.processes:
        # Each process imports torch and opens the device again.
        if bench.left < 15 + 20 * least:
            break
        for one in time_together(task_of, steps(replace(way, processes=(processes,))), found, least):
            yield clock.rate(f"{best}, {one.processes} processes", one.seconds_a_model, one.peak_bytes)


def ways(given: Race, bench: Bench) -> list[tuple[str, Execution]]:
    """Return the ways of one process, which are those of the platform's own measurement."""
    one = Execution(bench.device, 1)
    if given.compiled:
        return [("torch.compile", replace(one, compiled=True))]
    found = [("one by one", replace(one, native=False))]
    if given.recipe.is_native((28, 28, 1), CLASSES, one):
        found.append(("compiled C", one))
    return found + [(f"stack of {n}", replace(found[0][1], stack=n, stack_batch_norm=True)) for n in given.stacks]


def whole_shard(clock: _Clock, task: Task, name: str, way: Execution, one: Measurement, bench: Bench) -> Rate:
    """Return the rate of a shard of two launches or more, trained and judged as the platform's workers do."""
    recipe, models = task.algorithm, max(8, 2 * way.stack)
    assert isinstance(recipe, Sgd)
    seconds_an_epoch = one.seconds_a_model * models / recipe.epochs
    epochs = max(1, min(recipe.epochs, int(bench.left / 4 / seconds_an_epoch)))
    shorter = replace(task, algorithm=replace(recipe, epochs=epochs))
    sampler = SubsetSampler(len(task.train), 0.5, 0)
    finish(bench.device)
    began = perf_counter()
    train_subset_models(shorter, sampler.masks(range(models)), range(models), way)
    finish(bench.device)
    each = (perf_counter() - began) / models
    part = "" if epochs == recipe.epochs else f", {epochs} of {recipe.epochs} epochs"
    return clock.rate(f"whole shard of {models}, {name}{part}", each, epochs=epochs)


def usual_loop(device: str, given: Task, size: int, least: float) -> float:
    """Return the seconds a model of a plain loop."""
    recipe, (height, width, channels) = given.algorithm, given.train.images.shape[1:]
    assert isinstance(recipe, Sgd)
    net = (
        ARCHITECTURES.get(recipe.network.kind)
        .build((height, width, channels), recipe.network.sizes, CLASSES)
        .to(device)
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    images, labels = torch.from_numpy(given.train.images), torch.from_numpy(given.train.labels)

    def seconds(steps: int) -> float:
        began = perf_counter()
        for _ in range(steps):
            index = torch.randint(len(images), (min(size, recipe.batch_size),))
            x = ((images[index].to(device).float() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                loss = F.cross_entropy(net(x), labels[index].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        finish(device)
        return perf_counter() - began

    seconds(3)
    steps = 5 + int(5 * least / seconds(5))
    return seconds(steps) / steps * recipe.epochs * -(-size // recipe.batch_size)


def multiplications(recipe: Sgd, shape: tuple[int, int, int]) -> float:
    """Return the multiplications of a forward pass for one image."""
    net = ARCHITECTURES.get(recipe.network.kind).build(shape, recipe.network.sizes, CLASSES).eval()
    found = 0.0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal found
        weight = layer.get_parameter("weight")
        found += weight[0].numel() * output[0].numel()

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, shape[2], *shape[:2]))
    return found
