"""A bounded window of task runs: never thousands at once, and one failure never stops its neighbours."""

import queue
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from prefect.futures import PrefectFuture

from flows.runners import Call, Runner
from modeldiff_core.errors import ModelDiffError

AGAIN = 2
"""How often a task is sent again that its cluster gave up: Dask does so to all of a client that loses its scheduler."""
Finished = queue.SimpleQueue[tuple[Call, PrefectFuture[Any]]]


class RunFailed(ModelDiffError):
    """Some tasks failed for good; names them and says how to go on."""


@dataclass
class Outcome:
    """Results by name, and why the others failed."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def succeeded(self, study: str) -> "Outcome":
        """The outcome itself; raises RunFailed that lists what failed of the study, if anything did."""
        if self.failures:
            lines = "\n".join(f"  {name}: {why}" for name, why in self.failures.items())
            raise RunFailed(f"{len(self.failures)} tasks of {study} failed:\n{lines}")
        return self


def run_window(calls: Iterable[Call], runner: Runner, done: Callable[[Call], None]) -> Outcome:
    """Run every call with at most two of them submitted for each place; `done` is told of each that succeeded."""
    outcome = Outcome()
    finished: Finished = queue.SimpleQueue()
    waiting: Iterator[Call] = iter(calls)
    again: Counter[str] = Counter()
    running = 0
    exhausted = False
    while running or not exhausted:
        while running < 2 * runner.places and not exhausted:
            call = next(waiting, None)
            if call is None:
                exhausted = True
                break
            _send(runner, call, finished)
            running += 1
        if running:
            call, future = finished.get()
            try:
                outcome.results[call.name] = future.result()
            except CancelledError as error:
                if again[call.name] < AGAIN:
                    again[call.name] += 1
                    _send(runner, call, finished)
                    continue
                outcome.failures[call.name] = f"cancelled by the cluster {AGAIN + 1} times: {error}"
            except Exception as error:
                outcome.failures[call.name] = f"{type(error).__name__}: {error}"
            else:
                done(call)
            running -= 1
    return outcome


def _send(runner: Runner, call: Call, finished: Finished) -> None:
    runner.submit(call).add_done_callback(partial(_put, finished, call))


def _put(finished: Finished, call: Call, future: PrefectFuture[Any]) -> None:
    finished.put((call, future))
