"""The fastest way of training on a device, found by timing a few steps of each way; it changes no result."""

import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool

from modeldiff_core.training.devices import available_device, out_of_memory, peak_memory
from modeldiff_core.training.functions import FunctionAlgorithm
from modeldiff_core.training.modules import TorchRecipe
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.shards import Task
from modeldiff_core.training.step_timer import SETUP_STEPS, StepTimer, time_processes

log = logging.getLogger(__name__)

STACKS = (1, 4, 16, 64, 256)
"""Numbers of models in one launch that are tried, up to the allowed one."""
PROCESSES = (1, 2, 4)
"""Numbers of processes on one GPU that are tried."""
MIN_SECONDS = 0.3
"""Shortest time over which a way is timed, unless whole models take less."""


@dataclass(frozen=True)
class Measurement:
    """The cost of one way of training.

    Attributes:
        stack: Models in one launch.
        compiled: Whether torch.compile is used.
        seconds_a_model: Wall-clock seconds of the device per model, over all processes.
        peak_bytes: Peak memory (on a CPU, of the processes so far).
        processes: Processes that share the device.
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
    """Time every way that fits the memory and return the measurements, the fastest first.

    An algorithm other than ``sgd`` has one way, and is timed over the given models. The fastest way of one process is
    then timed in several processes at once, for each number in ``execution.processes``.

    Args:
        task: The algorithm with its data.
        masks: Masks of the models; their number limits the stack, as ``execution.stack`` does.
        models: Number of each model.
        execution: The allowed stack and the numbers of processes.
        task_of: Makes the task in another process; None times one process only.

    Raises:
        RuntimeError: If even the first way does not fit the memory.
        MemoryError: The same, on a CPU.
    """
    allowed = min(execution.stack, len(models))
    measured: list[Measurement] = []
    for way in _ways(task, replace(execution, stack=allowed)):
        try:
            measured.append(time_alone(StepTimer(task, masks[: way.stack], models[: way.stack], way)))
        except (RuntimeError, MemoryError) as error:
            if not measured or not out_of_memory(error):
                raise
            log.warning("%d models together do not fit the memory of %s", way.stack, way.device)
            break
    measured.sort(key=lambda m: m.seconds_a_model)
    if task_of is not None:
        best = measured[0]
        way = replace(execution, stack=best.stack, compiled=best.compiled, stack_batch_norm=True)
        several = time_together(task_of, StepTimer(task, masks[: best.stack], models[: best.stack], way), best)
        measured = sorted([*measured, *several], key=lambda m: m.seconds_a_model)
        measured = [m for m in measured if m.processes in execution.processes] or measured
    best = measured[0]
    log.info(
        "%s on %s: %d at a time%s in %d processes, %.3g s a model, peak memory %.0f MB",
        type(task.algorithm).__name__,
        execution.device,
        best.stack,
        ", compiled" if best.compiled else "",
        best.processes,
        best.seconds_a_model,
        best.peak_bytes / 2**20,
    )
    return measured


def _ways(task: Task, execution: Execution) -> list[Execution]:
    """Return the ways to try, small stacks first.

    On a CPU, compilation takes longer than most of its networks train, and networks with batch normalization leave no
    idle cores that others could use.
    """
    if isinstance(task.algorithm, FunctionAlgorithm | TorchRecipe):  # trained one by one, and one may take minutes
        return [replace(execution, stack=1)]
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


def time_alone(timer: StepTimer, min_seconds: float = MIN_SECONDS) -> Measurement:
    """Measure set-up plus all steps in this process, extrapolated from the times of a few and of more steps."""
    way, device = timer.execution, available_device(timer.execution.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    count = min(SETUP_STEPS, timer.total)
    timer.seconds(count)  # compiles, computes features and fills caches
    short = seconds = timer.seconds(count)
    while seconds - short < min_seconds and count < timer.total:
        count = min(4 * count, timer.total)
        if way.compiled:
            timer.seconds(count)  # an epoch may end in a smaller batch, for which torch compiles once more
        seconds = timer.seconds(count)
    each = timer.extrapolated(short, seconds, count) / len(timer.models)
    return Measurement(way.stack, way.compiled, each, peak_memory(device))


def time_together(
    task_of: Callable[[], Task], timer: StepTimer, one: Measurement, min_seconds: float = MIN_SECONDS
) -> list[Measurement]:
    """Measure a way in several processes at once, for each number in ``execution.processes`` that fits the memory.

    Args:
        task_of: Makes the task in each process.
        timer: The way, whose execution holds the numbers of processes.
        one: The same way in one process.
        min_seconds: Shortest time over which steps are timed.
    """
    way, models = timer.execution, len(timer.models)
    step = one.seconds_a_model * models / timer.total
    count = min(timer.total, SETUP_STEPS + math.ceil(min_seconds / step))
    counts = (min(SETUP_STEPS, timer.total), count)
    measured = []
    for processes in sorted(set(way.processes) - {1}):
        try:
            (short, long), peak = time_processes(task_of, timer.masks, timer.models, way, processes, counts)
        except (RuntimeError, MemoryError, BrokenProcessPool) as error:
            if not isinstance(error, BrokenProcessPool) and not out_of_memory(error):
                raise
            log.warning("%d processes at once do not fit the memory of %s", processes, way.device)
            break
        each = timer.extrapolated(short, long, count) / (models * processes)
        measured.append(Measurement(way.stack, way.compiled, each, peak, processes))
    return measured
