"""Timing of a few steps of training, in this process or in several that share a device."""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError

import numpy as np
import torch
from jaxtyping import Bool

from modeldiff_core.training.devices import available_device, peak_memory
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.shards import Task
from modeldiff_core.training.workers import begin_worker

SETUP_STEPS = 2
"""Steps whose time is mostly set-up, and is not counted as time of steps."""

_start: Barrier


@dataclass(frozen=True)
class StepTimer:
    """A stack of models that is trained from its start for any number of steps and timed."""

    task: Task
    masks: Bool[np.ndarray, "models train"]
    models: Sequence[int]
    execution: Execution

    @property
    def total(self) -> int:
        """Steps of whole models; 1 for an algorithm that cannot stop early."""
        recipe = self.task.algorithm
        return recipe.epochs * -(-int(self.masks[0].sum()) // recipe.batch_size) if isinstance(recipe, Sgd) else 1

    def seconds(self, steps: int) -> float:
        """Return the wall-clock seconds of training for `steps` steps, until the device has finished."""
        task, algorithm = self.task, self.task.algorithm
        arguments = task.train, task.n_classes, self.masks, self.models, task.seed, self.execution
        start = time.perf_counter()
        if isinstance(algorithm, Sgd):
            algorithm.train(*arguments, steps=steps)
        else:
            algorithm.train(*arguments)
        if self.execution.device.startswith("cuda"):
            torch.cuda.synchronize(self.execution.device)
        return time.perf_counter() - start

    def extrapolated(self, short: float, long: float, steps: int) -> float:
        """Return the seconds of all steps, given those of the first SETUP_STEPS (`short`) and of `steps` (`long`)."""
        if steps >= self.total:
            return long
        return long + max(long - short, 0.0) / (steps - SETUP_STEPS) * (self.total - steps)


def time_processes(
    task_of: Callable[[], Task],
    masks: Bool[np.ndarray, "models train"],
    models: Sequence[int],
    execution: Execution,
    processes: int,
    counts: Sequence[int],
) -> tuple[list[float], int]:
    """Time processes that train at the same time.

    Args:
        task_of: Makes the task in each process.
        masks: Masks of the models that each process trains.
        models: Number of each model.
        execution: How each process trains.
        processes: Number of processes.
        counts: Numbers of steps; all processes start each of them together.

    Returns:
        Seconds until all processes have finished, for each count, and the peak memory of all processes together.

    Raises:
        Exception: The error of a process that failed, as it is.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _begin, (os.getpid(), context.Barrier(processes))) as pool:
        futures = [pool.submit(_timed, task_of, masks, models, execution, counts) for _ in range(processes)]
        wait(futures)
    results = [future.result() for future in sorted(futures, key=_gave_up)]
    slowest = [max(seconds) for seconds in zip(*(seconds for seconds, _ in results), strict=True)]
    return slowest, sum(peak for _, peak in results)


def _begin(parent: int, barrier: Barrier) -> None:
    global _start
    begin_worker(parent)
    _start = barrier


def _timed(
    task_of: Callable[[], Task],
    masks: Bool[np.ndarray, "models train"],
    models: Sequence[int],
    execution: Execution,
    counts: Sequence[int],
) -> tuple[list[float], int]:
    seconds = []
    try:
        timer = StepTimer(task_of(), masks, models, execution)
        timer.seconds(counts[0])  # compiles and fills caches
        for count in counts:
            _start.wait()
            seconds.append(timer.seconds(count))
    except BaseException:
        _start.abort()
        raise
    return seconds, peak_memory(available_device(execution.device))


def _gave_up(future: Future[tuple[list[float], int]]) -> bool:
    """Return whether a process ended only because another one had failed, whose error is the one to report."""
    return isinstance(future.exception(), BrokenBarrierError)
