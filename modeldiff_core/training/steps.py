"""The time that a few steps of training take, in this process or in several that share a device."""

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

FEW = 2
"""Steps whose time is mostly set-up: what they take is no part of a step."""

_start: Barrier


@dataclass(frozen=True)
class Steps:
    """A stack of models, trained for as many steps as asked for, always from the start."""

    task: Task
    masks: Bool[np.ndarray, "models train"]
    models: Sequence[int]
    execution: Execution

    @property
    def total(self) -> int:
        """Steps of whole models; 1 for an algorithm that cannot stop after some."""
        recipe = self.task.algorithm
        return recipe.epochs * -(-int(self.masks[0].sum()) // recipe.batch_size) if isinstance(recipe, Sgd) else 1

    def seconds(self, steps: int) -> float:
        """Wall-clock seconds of training for so many steps, until the device is done."""
        task, algorithm = self.task, self.task.algorithm
        given = task.train, task.n_classes, self.masks, self.models, task.seed, self.execution
        start = time.perf_counter()
        if isinstance(algorithm, Sgd):
            algorithm.train(*given, steps=steps)
        else:
            algorithm.train(*given)
        if self.execution.device.startswith("cuda"):
            torch.cuda.synchronize(self.execution.device)
        return time.perf_counter() - start

    def extrapolated(self, short: float, long: float, steps: int) -> float:
        """Seconds of all steps, from those of the few first and of more."""
        if steps >= self.total:
            return long
        return long + max(long - short, 0.0) / (steps - FEW) * (self.total - steps)


def at_once(
    task_of: Callable[[], Task],
    masks: Bool[np.ndarray, "models train"],
    models: Sequence[int],
    execution: Execution,
    processes: int,
    counts: Sequence[int],
) -> tuple[list[float], int]:
    """Seconds until all of several processes, which train at the same time, are done with so many steps each.

    task_of: makes the task in each process. counts: of steps; each count is started together. Also gives the most
    bytes that they take up together. Raises what one of them raises.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _keep, (os.getpid(), context.Barrier(processes))) as pool:
        futures = [pool.submit(_timed, task_of, masks, models, execution, counts) for _ in range(processes)]
        wait(futures)
    found = [future.result() for future in sorted(futures, key=_gave_up)]
    return [max(seconds) for seconds in zip(*(seconds for seconds, _ in found), strict=True)], sum(p for _, p in found)


def _keep(parent: int, barrier: Barrier) -> None:
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
        steps = Steps(task_of(), masks, models, execution)
        steps.seconds(counts[0])  # compiles and fills caches
        for count in counts:
            _start.wait()
            seconds.append(steps.seconds(count))
    except BaseException:
        _start.abort()
        raise
    return seconds, peak_memory(available_device(execution.device))


def _gave_up(future: Future[tuple[list[float], int]]) -> bool:
    """Whether a process only ended because another one had failed: that one's error is the one to be told."""
    return isinstance(future.exception(), BrokenBarrierError)
