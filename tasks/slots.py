"""Slots: persistent worker processes, one a device or core, that stages are run in.

A Prefect task is a thread that hands its stage to the next free slot and waits. Workers are spawned (nothing is
inherited by fork), use one torch thread each, and end by themselves when the process that started them is gone.
"""

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from modeldiff_core.errors import ModelDiffError

Stage = Callable[..., dict[str, Any]]


class WorkerDied(ModelDiffError):
    """A worker process ended in the middle of a stage; trying again starts a new one."""


class Slots:
    """A fixed number of places to run stages, each with its own process and device."""

    def __init__(self, devices: Sequence[str], execution: Mapping[str, Any]) -> None:
        self.devices = tuple(devices)
        self.execution = dict(execution)
        self._workers: list[ProcessPoolExecutor] = [self._start() for _ in self.devices]
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(len(self.devices)):
            self._free.put(slot)

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
        return ProcessPoolExecutor(1, mp_context=context, initializer=_initialise, initargs=(os.getpid(),))


def _initialise(parent: int) -> None:
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


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
