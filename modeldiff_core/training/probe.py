"""Which way of training is the fastest on a device, by trying a few steps of each. It decides no result."""

import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool

from modeldiff_core.training.devices import available_device, out_of_memory, peak_memory
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.shards import Task
from modeldiff_core.training.steps import FEW, Steps, at_once

log = logging.getLogger(__name__)

STACKS = (1, 4, 16, 64, 256)
"""Models in one launch that are tried, as far as they are allowed."""
PROCESSES = (1, 2, 4)
"""Processes on one GPU that are tried."""
LEAST_SECONDS = 0.3
"""Each way is timed over at least that long, or over whole models."""


@dataclass(frozen=True)
class Measurement:
    """One way of training a device's models.

    seconds_a_model: wall-clock time of the device for each, all processes together. peak_bytes: most bytes taken up
    (on a CPU, by the processes so far).
    """

    stack: int
    compiled: bool
    seconds_a_model: float
    peak_bytes: int
    processes: int = 1


def fastest(
    task: Task,
    masks: Bool[np.ndarray, "models train"],
    models: Sequence[int],
    execution: Execution,
    task_of: Callable[[], Task] | None = None,
) -> list[Measurement]:
    """Every way that fits the memory, the fastest first.

    masks, models: as many as may be trained in one launch, which ``execution.stack`` limits further. An algorithm that
    is not ``sgd`` has one way, and is timed over these models. The fastest way of one process is then tried in each of
    ``execution.processes`` at once, for which `task_of` makes the task in another process. Raises what the only way
    raises when it does not fit.
    """
    allowed = min(execution.stack, len(models))
    measured: list[Measurement] = []
    for way in _ways(task, replace(execution, stack=allowed)):
        try:
            measured.append(alone(Steps(task, masks[: way.stack], models[: way.stack], way)))
        except (RuntimeError, MemoryError) as error:
            if not measured or not out_of_memory(error):
                raise
            log.warning("%d models together do not fit the memory of %s", way.stack, way.device)
            break
    measured.sort(key=lambda m: m.seconds_a_model)
    if task_of is not None:
        best = measured[0]
        way = replace(execution, stack=best.stack, compiled=best.compiled, stack_batch_norm=True)
        several = together(task_of, Steps(task, masks[: best.stack], models[: best.stack], way), best)
        measured = sorted([*measured, *several], key=lambda m: m.seconds_a_model)
        measured = [m for m in measured if m.processes in execution.processes] or measured
    best = measured[0]
    log.info(
        "%s on %s: %d at a time%s in %d processes, %.3g s a model, peak memory %.0f MB", type(task.algorithm).__name__,
        execution.device, best.stack, ", compiled" if best.compiled else "", best.processes, best.seconds_a_model,
        best.peak_bytes / 2**20,
    )  # fmt: skip
    return measured


def _ways(task: Task, execution: Execution) -> list[Execution]:
    """Ways to try, small stacks first.

    Compilation takes longer on a CPU than most nets that are trained there, and batch normalisation side by side has
    nothing to fill there.
    """
    if not isinstance(task.algorithm, Sgd):
        return [execution]
    height, width, channels = task.train.images.shape[1:]
    if task.train.beton is None and task.algorithm.is_native((height, width, channels), task.n_classes, execution):
        return [execution]
    stacks = [replace(execution, stack=stack, stack_batch_norm=True) for stack in STACKS if stack <= execution.stack]
    if task.algorithm.stackable((height, width, channels)):
        return stacks
    if available_device(execution.device).type != "cuda":
        return stacks[:1]
    return [stacks[0], replace(stacks[0], compiled=True), *stacks[1:]]


def alone(steps: Steps, least_seconds: float = LEAST_SECONDS) -> Measurement:
    """Set-up plus all steps in this process, from the times of a few and of more steps."""
    way, device = steps.execution, available_device(steps.execution.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    count = min(FEW, steps.total)
    steps.seconds(count)  # compiles, computes features and fills caches
    short = seconds = steps.seconds(count)
    while seconds - short < least_seconds and count < steps.total:
        count = min(4 * count, steps.total)
        if way.compiled:
            steps.seconds(count)  # an epoch may end in a smaller batch, for which torch compiles once more
        seconds = steps.seconds(count)
    each = steps.extrapolated(short, seconds, count) / len(steps.models)
    return Measurement(way.stack, way.compiled, each, peak_memory(device))


def together(
    task_of: Callable[[], Task], steps: Steps, one: Measurement, least_seconds: float = LEAST_SECONDS
) -> list[Measurement]:
    """The way that `one` process was measured in, in each of ``execution.processes`` at once, as far as they fit."""
    way, models = steps.execution, len(steps.models)
    step = one.seconds_a_model * models / steps.total
    count = min(steps.total, FEW + math.ceil(least_seconds / step))
    counts = (min(FEW, steps.total), count)
    measured = []
    for processes in sorted(set(way.processes) - {1}):
        try:
            (short, long), peak = at_once(task_of, steps.masks, steps.models, way, processes, counts)
        except (RuntimeError, MemoryError, BrokenProcessPool) as error:
            if not isinstance(error, BrokenProcessPool) and not out_of_memory(error):
                raise
            log.warning("%d processes at once do not fit the memory of %s", processes, way.device)
            break
        each = steps.extrapolated(short, long, count) / (models * processes)
        measured.append(Measurement(way.stack, way.compiled, each, peak, processes))
    return measured
