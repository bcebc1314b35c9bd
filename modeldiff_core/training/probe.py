"""Which way of training is the fastest on a device, by trying a few steps of each. It decides no result."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool

from modeldiff_core.data import Examples
from modeldiff_core.training.devices import available_device, out_of_memory, peak_memory
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.shards import Task

log = logging.getLogger(__name__)

STACKS = (1, 4, 16, 64, 256)
"""Models in one launch that are tried, as far as they are allowed."""
LEAST_SECONDS = 0.3
"""Each way is timed over at least that long, or over whole models."""


@dataclass(frozen=True)
class Measurement:
    """One way of training: wall-clock seconds a model, and most bytes taken up (on a CPU, by the process so far)."""

    stack: int
    compiled: bool
    seconds_a_model: float
    peak_bytes: int


def fastest(
    task: Task, masks: Bool[np.ndarray, "models train"], models: Sequence[int], execution: Execution
) -> list[Measurement]:
    """Every way that fits the memory, the fastest first.

    masks, models: as many as may be trained in one launch, which ``execution.stack`` limits further. An algorithm that
    is not ``sgd`` has one way, and is timed over these models. Raises what the only way raises when it does not fit.
    """
    allowed = min(execution.stack, len(models))
    measured: list[Measurement] = []
    for way in _ways(task, replace(execution, stack=allowed)):
        try:
            seconds = _seconds_a_model(task, masks[: way.stack], models[: way.stack], way)
        except (RuntimeError, MemoryError) as error:
            if way.stack == 1 or not out_of_memory(error):
                raise
            log.warning("%d models together do not fit the memory of %s", way.stack, way.device)
            break
        peak = peak_memory(available_device(way.device))
        measured.append(Measurement(way.stack, way.compiled, seconds, peak))
    measured.sort(key=lambda m: m.seconds_a_model)
    best = measured[0]
    log.info(
        "%s on %s: %d at a time%s, %.3g s a model, peak memory %.0f MB", type(task.algorithm).__name__,
        execution.device, best.stack, ", compiled" if best.compiled else "", best.seconds_a_model,
        best.peak_bytes / 2**20,
    )  # fmt: skip
    return measured


def _ways(task: Task, execution: Execution) -> list[Execution]:
    """Ways to try, small stacks first; compilation takes longer on a CPU than most nets that are trained there."""
    if not isinstance(task.algorithm, Sgd):
        return [execution]
    height, width, channels = task.train.images.shape[1:]
    if task.algorithm.is_native((height, width, channels), task.n_classes, execution):
        return [execution]
    if task.algorithm.stackable((height, width, channels)):
        return [replace(execution, stack=stack) for stack in STACKS if stack <= execution.stack]
    compiled = (False, True) if available_device(execution.device).type == "cuda" else (False,)
    return [replace(execution, stack=1, compiled=choice) for choice in compiled]


def _seconds_a_model(
    task: Task, masks: Bool[np.ndarray, "models train"], models: Sequence[int], execution: Execution
) -> float:
    """Set-up plus all steps, from the times of a few and of more steps."""
    algorithm = task.algorithm

    def timed(train: Callable[[], object]) -> float:
        start = time.perf_counter()
        train()
        if execution.device.startswith("cuda"):
            torch.cuda.synchronize(execution.device)
        return time.perf_counter() - start

    if not isinstance(algorithm, Sgd):
        return timed(lambda: algorithm.train(*_given(task, masks, models), execution)) / len(models)
    recipe = algorithm
    if execution.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(execution.device)
    total = recipe.epochs * -(-int(masks[0].sum()) // recipe.batch_size)

    def run(steps: int) -> float:
        return timed(lambda: recipe.train(*_given(task, masks, models), execution, steps=steps))

    few = min(2, total)
    run(few)  # compiles, computes features and fills caches
    short, steps = run(few), few
    seconds = short
    while seconds - short < LEAST_SECONDS and steps < total:
        steps = min(4 * steps, total)
        seconds = run(steps)
    if steps == total:
        return seconds / len(models)
    each = max(seconds - short, 0.0) / (steps - few)
    return (seconds + each * (total - steps)) / len(models)


def _given(
    task: Task, masks: Bool[np.ndarray, "models train"], models: Sequence[int]
) -> tuple[Examples, int, Bool[np.ndarray, "models train"], Sequence[int], int]:
    return task.train, task.n_classes, masks, models, task.seed
