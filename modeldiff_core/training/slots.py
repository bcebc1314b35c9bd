"""Slots: persistent worker processes, one a core and one or more a GPU, that stages are run in.

Workers are spawned (nothing is inherited by fork), use one torch thread each, and end by themselves when the process
that started them is gone.
"""

import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing.process import BaseProcess
from typing import Any

from modeldiff_core.errors import ModelDiffError
from modeldiff_core.training.workers import begin_worker

Stage = Callable[..., dict[str, Any]]

SHUTDOWN_SECONDS = 10.0
"""Seconds in which processes without a stage have to end."""


class WorkerDied(ModelDiffError):
    """A worker process ended in the middle of a stage; trying again starts a new one, unless the run is over.

    Attributes:
        over: Whether the run was ended, so that nothing is tried again.
    """

    def __init__(self, message: str, *, over: bool = False) -> None:
        super().__init__(message)
        self.over = over


class OutOfTime(ModelDiffError):
    """A stage took longer than it may and was ended; trying again helps where a worker or a disk hung."""

    def __init__(self, limit: float | int) -> None:
        super().__init__(f"it took longer than runner.shard_timeout_s = {limit:g} s and was ended")
        self.limit = limit

    def __reduce__(self) -> tuple[type, tuple[float | int]]:
        return type(self), (self.limit,)


class Slots:
    """A fixed number of places to run stages, each with its own process and device.

    Args:
        devices: Of each place.
        script: Whether processes run the main script of this one again, as spawned ones do, to find stages in it.
    """

    def __init__(self, devices: Sequence[str], script: bool = True) -> None:
        self.script = script
        self.devices: list[str] = []
        self._workers: list[ProcessPoolExecutor] = []
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()  # of what begins processes, against close
        self.add(devices)

    def add(self, devices: Sequence[str]) -> None:
        """More slots, one for each of these devices; a device may have several."""
        for device in devices:
            self.devices.append(device)
            self._workers.append(self._start())
            self._free.put(len(self._workers) - 1)

    def run(
        self, stage: Stage, *args: Any, execution: Mapping[str, Any] | None = None, limit: float | int | None = None
    ) -> dict[str, Any]:
        """Run a stage in the next free slot and wait for its result.

        execution: settings of the Execution that the stage takes as its last argument; the slot adds its device.
        limit: seconds that the stage may take. Raises WorkerDied if the process ended or the slots were closed,
        OutOfTime if it took longer.
        """
        slot = self._free.get()
        try:
            last = [] if execution is None else [{**execution, "device": self.devices[slot]}]
            with self._lock:
                if self._closed:
                    raise WorkerDied("the run was ended while this stage waited for a place", over=True)
                with _signals_held(), nullcontext() if self.script else _main_hidden():
                    running = self._workers[slot].submit(stage, *args, *last)
            try:
                return running.result(limit)
            except TimeoutError:
                if limit is None or running.done():  # the stage's own, such as a server's that did not answer
                    raise
                self._stop(slot)
                self._workers[slot] = self._start()
                raise OutOfTime(limit) from None
        except (BrokenProcessPool, CancelledError) as error:
            if self._closed:
                raise WorkerDied("the run was ended while this stage ran", over=True) from None
            if isinstance(error, CancelledError):
                raise
            self._workers[slot] = self._start()
            raise WorkerDied(f"the worker process of slot {slot} ({self.devices[slot]}) ended abruptly") from error
        finally:
            self._free.put(slot)

    def close(self) -> None:
        """Stop the processes: those that have no stage end by themselves, others are not waited for.

        Stages that wait for a slot raise WorkerDied. What is terminated cannot close what its libraries keep open
        (tqdm: a lock), and multiprocessing would complain of that on the terminal.
        """
        with self._lock:
            self._closed = True  # nothing begins from here on, also not in place of what is stopped below
        idle = set()
        with suppress(queue.Empty):
            while True:
                idle.add(self._free.get_nowait())
        leaving: list[BaseProcess] = []
        for slot in range(len(self._workers)):
            if slot in idle:
                leaving += self._dismiss(slot)
                self._free.put(slot)  # for who waits
            else:
                self._stop(slot)
        end = time.monotonic() + SHUTDOWN_SECONDS
        for process in leaving:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.terminate()

    def _stop(self, slot: int) -> None:
        for process in self._dismiss(slot):
            process.terminate()

    def _dismiss(self, slot: int) -> list[BaseProcess]:
        """Tell a slot's process to end after its stage; gives it."""
        worker = self._workers[slot]
        processes: list[BaseProcess] = list((worker._processes or {}).values())
        worker.shutdown(wait=False, cancel_futures=True)
        return processes

    @staticmethod
    def _start() -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=context, initializer=begin_worker, initargs=(os.getpid(),))


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep processes that are started here from running the user's script again, as spawned ones do.

    What they do is named by modules that are imported, never by the script.
    """
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
    vars(main).pop("__file__", None)
    vars(main)["__spec__"] = None
    try:
        yield
    finally:
        vars(main).update(kept)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold Ctrl-C back from processes that are started here, which inherit that: their run is what it interrupts.

    A terminal sends it to all of them, and each that has not begun would print a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
