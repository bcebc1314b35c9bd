"""Slots: persistent worker processes, one a core and one or more a GPU, that stages are run in.

A Prefect task is a thread that hands its stage to the next free slot and waits. Workers are spawned (nothing is
inherited by fork), use one torch thread each, and end by themselves when the process that started them is gone.
"""

import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from modeldiff_core.errors import ModelDiffError
from modeldiff_core.training.workers import begin_worker

Stage = Callable[..., dict[str, Any]]


class WorkerDied(ModelDiffError):
    """A worker process ended in the middle of a stage; trying again starts a new one."""


class Slots:
    """A fixed number of places to run stages, each with its own process and device."""

    def __init__(self, devices: Sequence[str], execution: Mapping[str, Any]) -> None:
        self.devices: list[str] = []
        self.execution = dict(execution)
        self._workers: list[ProcessPoolExecutor] = []
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.add(devices)

    def add(self, devices: Sequence[str]) -> None:
        """More slots, one for each of these devices; a device may have several."""
        for device in devices:
            self.devices.append(device)
            self._workers.append(self._start())
            self._free.put(len(self._workers) - 1)

    def run(self, stage: Stage, *args: Any, on_device: bool = False) -> dict[str, Any]:
        """Run a stage in the next free slot and wait for its result.

        on_device: the stage takes an Execution as its last argument. Raises WorkerDied if the process ended.
        """
        slot = self._free.get()
        try:
            execution = [{**self.execution, "device": self.devices[slot]}] if on_device else []
            return self._workers[slot].submit(stage, *args, *execution).result()
        except BrokenProcessPool as error:
            self._workers[slot] = self._start()
            raise WorkerDied(f"the worker process of slot {slot} ({self.devices[slot]}) ended abruptly") from error
        finally:
            self._free.put(slot)

    def close(self) -> None:
        """Stop the processes; a stage that is running is not waited for."""
        for worker in self._workers:
            processes = list((worker._processes or {}).values())
            worker.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()

    @staticmethod
    def _start() -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=context, initializer=begin_worker, initargs=(os.getpid(),))


_open: Slots | None = None


@contextmanager
def open_slots(devices: Sequence[str], execution: Mapping[str, Any]) -> Iterator[Slots]:
    """Slots that run_stage uses until the block ends; execution: settings of an Execution but for its device."""
    global _open
    previous, _open = _open, Slots(devices, execution)
    try:
        yield _open
    finally:
        _open.close()
        _open = previous


def run_stage(stage: Stage, *args: Any, on_device: bool = False) -> dict[str, Any]:
    """Run a stage in the open slots of this process, or here where there are none (on a cluster's worker)."""
    if _open is not None:
        return _open.run(stage, *args, on_device=on_device)
    execution = [{"device": "cpu"}] if on_device else []
    return stage(*args, *execution)
