"""Every trainer against the CPU: margins after a few small steps, in which rounding does not grow.

The reference is the CPU's one-by-one trainer in float32. Differences are in units of the change that training makes:
the standard deviation, over models and targets, of the margins' change from before training to the reference.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from benchmarks.gpu.results import Bench, NotHereError, Result, compared
from benchmarks.gpu.tasks import CLASSES, CNN, MLP, SMALL_RESNET9, exact_convolutions, has_compiler, random_task
from modeldiff_core.models import ARCHITECTURES
from modeldiff_core.models.initial import plain_state, random_state
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task
from modeldiff_core.training.augmentations import Flip, Translate
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.shards import output_of

MODELS, IMAGES = 3, 200
FLOAT32, TF32, BFLOAT16 = 2e-3, 0.05, 0.2
"""Tolerances, four times and more the differences between the CPU's own ways (float32: 2.4e-4, bfloat16: 0.05)."""

Way = tuple[str, Execution]


@dataclass(frozen=True)
class Case:
    """A recipe under a title; its batch size, schedule and precision are those of the comparison, and so is its rate.

    rate: the learning rate, small enough for the steps to be calm, large enough for them to change the margins.
    steps: with three all batches are of one size, for which torch compiles once; the fourth is a smaller one.
    """

    title: str
    recipe: Sgd
    rate: float = 0.02
    steps: int = 4

    def task(self) -> Task:
        """Return the recipe with small steps of equal size, in float32, on few random images."""
        calm = replace(self.recipe, batch_size=32, learning_rate=self.rate, schedule="constant", precision="float32")
        return random_task(calm, IMAGES)


def margins_after(task: Task, execution: Execution, steps: int) -> np.ndarray:
    """Return margins [models, targets] after `steps` steps; with 0 those of the models before training."""
    masks = SubsetSampler(IMAGES, 0.5, 0).masks(range(MODELS))
    recipe = task.algorithm
    assert isinstance(recipe, Sgd)
    models = recipe.train(task.train, CLASSES, masks, range(MODELS), task.seed, execution, steps=steps)
    return np.asarray(output_of("margin", models.logits(task.targets.images), task.targets.labels))


def agreement(case: Case, bench: Bench, ways: Callable[[Sgd, Bench], list[Way]] | None = None) -> Iterator[Result]:
    """Yield a comparison for each way of training on the device (by default `trainers`) and each precision."""
    exact = case.task()
    recipe = exact.algorithm
    assert isinstance(recipe, Sgd)
    one_by_one = Execution("cpu", 1, native=False)
    reference = margins_after(exact, one_by_one, case.steps)
    scale = float((reference - margins_after(exact, one_by_one, 0)).std())
    rough = replace(exact, algorithm=replace(recipe, precision="bfloat16"))
    rounds = bench.cuda and recipe.network.kind != "mlp"  # cuDNN's convolutions, to TF32
    note = f"{case.steps} steps changed margins by {scale:.2g}, of {reference.std():.2g}"
    for name, way in (ways or trainers)(recipe, bench):
        if bench.cuda or way != one_by_one:  # on a CPU that is the reference
            with exact_convolutions() if bench.cuda else nullcontext():
                found = margins_after(exact, way, case.steps)
            yield compared(f"{case.title}, {name}, float32", found, reference, scale, FLOAT32, note)
        if rounds and not way.compiled:
            found = margins_after(exact, way, case.steps)
            yield compared(f"{case.title}, {name}, float32 with TF32", found, reference, scale, TF32, note)
        found = margins_after(rough, way, case.steps)
        yield compared(f"{case.title}, {name}, bfloat16", found, reference, scale, BFLOAT16, note)


def trainers(recipe: Sgd, bench: Bench) -> list[Way]:
    """Return the trainers that need no compilation by torch: one by one, stacked, and a CPU's compiled code."""
    ways = [
        ("one by one", Execution(bench.device, 1, native=False)),
        (f"stack of {MODELS}", Execution(bench.device, MODELS, stack_batch_norm=True, native=False)),
    ]
    if recipe.is_native((28, 28, 1), CLASSES, Execution(bench.device)):
        ways.append(("compiled C", Execution(bench.device)))
    return ways


def compiled(recipe: Sgd, bench: Bench) -> list[Way]:
    """Return the trainer of modules that torch.compile has compiled; raise NotHereError where there is no compiler."""
    if not has_compiler():
        raise NotHereError("torch.compile needs a C compiler")
    return [("torch.compile", Execution(bench.device, 1, compiled=True, native=False))]


def mlp(bench: Bench) -> Iterator[Result]:
    """Yield the comparisons of a fully connected network."""
    yield from agreement(Case("MLP", MLP), bench)


def cnn(bench: Bench) -> Iterator[Result]:
    """Yield the comparisons of a small CNN: plain, and with all that is drawn or computed for each model."""
    yield from agreement(Case("CNN", CNN), bench)
    busy = replace(CNN, augmentations=(Translate(), Flip()), mean="subset", scale="subset", test_time="flip")
    yield from agreement(Case("CNN, augmented, own normalization", busy), bench)


def resnet9(bench: Bench) -> Iterator[Result]:
    """Yield the comparisons of ResNet-9 with batch normalization, whole and with most layers frozen."""
    yield from agreement(Case("ResNet-9 (1/8)", SMALL_RESNET9), bench)
    last = replace(SMALL_RESNET9, network=replace(SMALL_RESNET9.network, trainable="last_block"))
    yield from agreement(Case("ResNet-9 (1/8), last block", last), bench)


def resnet9_compiled(bench: Bench) -> Iterator[Result]:
    """Yield the comparisons of ResNet-9 compiled by torch."""
    if bench.quick:
        raise NotHereError("compilation by torch takes too long for a quick run")
    yield from agreement(Case("ResNet-9 (1/8)", SMALL_RESNET9, steps=3), bench, compiled)


def heads(bench: Bench) -> Iterator[Result]:
    """Yield the comparisons of heads on the features of a frozen backbone, whose weights are read from a file."""
    network = SMALL_RESNET9.network
    net = ARCHITECTURES.get(network.kind).build((32, 32, 3), network.sizes, CLASSES)
    state = random_state(net, lambda name: np.random.default_rng(len(name)), list(plain_state(net)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "backbone.safetensors"
        save_file(state, file)
        recipe = replace(SMALL_RESNET9, network=replace(network, init=str(file), trainable="head"))
        # The features of random layers are small, and a head's loss has no other minimum to go to.
        yield from agreement(Case("heads on ResNet-9 (1/8)", recipe, rate=100.0), bench)
