"""Runs checks in a process of their own, so that none of them can stop the others or take longer than it may.

One process runs check after check, which saves importing torch each time. After a check that raised, died or was cut
off a new process goes on: an error of a GPU leaves the process unusable.
"""

import gc
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from benchmarks.gpu.results import Bench, Check, NotHereError, Outcome, Result

START = 120.0
"""Most seconds that a process may take to import torch and to open the device."""
GRACE = 10.0
"""Seconds for a process to end by itself before it is killed."""


@dataclass(frozen=True)
class _Ended:
    """The last word of a check."""

    status: str
    reason: str = ""


def run(checks: Sequence[Check], bench: Bench, total: float) -> Iterator[Outcome]:
    """Yield the outcome of every check, each as soon as it is known; all of them end within `total` seconds."""
    deadline = time.monotonic() + total
    worker: _Worker | None = None
    try:
        for check in checks:
            began = time.monotonic()
            left = deadline - began
            if left < 1:
                yield Outcome(check.name, "out of time", f"the total of {total:.0f} s was used up", (), 0.0)
                continue
            if worker is None:
                worker = _Worker(bench, min(START, left))
            results: list[Result] = []
            ended = worker.carry_out(check, min(deadline, time.monotonic() + check.seconds), results)
            if ended.status not in ("done", "skipped"):
                worker.end()
                worker = None
            yield Outcome(check.name, ended.status, ended.reason, tuple(results), time.monotonic() - began)
    finally:
        if worker is not None:
            worker.end()


def carried_out(check: Check, bench: Bench) -> Outcome:
    """Return the outcome of a check in this process, without any limit of time."""
    began = time.monotonic()
    results: list[Result] = []
    ended = _ending(check, bench, results)
    return Outcome(check.name, ended.status, ended.reason, tuple(results), time.monotonic() - began)


class _Worker:
    """A process that carries out checks."""

    def __init__(self, bench: Bench, patience: float) -> None:
        self.bench = bench
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, bench.device, os.getpid()))
        self.process.start()
        theirs.close()
        self.ready = self.connection.poll(patience)
        if self.ready:
            self._received()

    def carry_out(self, check: Check, until: float, results: list[Result]) -> _Ended:
        """Return how the check ended; its results are added to the list as they come."""
        if not self.ready:
            return _Ended("out of time", "the process did not open the device in time")
        try:
            self.connection.send((check, replace(self.bench, until=until)))
        except (BrokenPipeError, ConnectionResetError):
            return self._died()
        while self.connection.poll(max(0.0, until - time.monotonic())):
            received = self._received()
            if isinstance(received, _Ended):
                return received
            results.append(received)
        return _Ended("out of time", f"cut off after {check.seconds:.0f} s or at the end of the total")

    def _received(self) -> "Result | _Ended":
        try:
            received: Result | _Ended = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return self._died()
        return received

    def _died(self) -> _Ended:
        self.process.join(GRACE)
        return _Ended("failed", f"the process ended with exit code {self.process.exitcode}")

    def end(self) -> None:
        """End the process, and with it those that it has started."""
        self.connection.close()
        self.process.terminate()
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(GRACE)


def _serve(connection: Connection, device: str, parent: int) -> None:
    """Carry out checks as they come, and send their results, until the connection is closed."""
    import torch

    from modeldiff_core.training.workers import begin_worker

    begin_worker(parent)
    # A product and a convolution load the libraries that all checks use: no check pays for that.
    images = torch.zeros(1, 1, 8, 8, device=device)
    torch.nn.functional.conv2d(images @ images, images[:, :, :3, :3]).sum().item()
    connection.send(_Ended("ready"))
    while True:
        try:
            check, bench = connection.recv()
        except EOFError:
            return
        connection.send(_ending(check, bench, connection))
        gc.collect()
        if bench.cuda:
            torch.cuda.empty_cache()


def _ending(check: Check, bench: Bench, results: "list[Result] | Connection") -> _Ended:
    """Return how a check ended; results go to the list or over the connection."""
    try:
        for result in check.run(bench):
            results.append(result) if isinstance(results, list) else results.send(result)
    except NotHereError as reason:
        return _Ended("skipped", str(reason))
    except Exception as error:
        traceback.print_exc()
        return _Ended("failed", f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
    return _Ended("done")
