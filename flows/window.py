"""A bounded window of task runs: never thousands at once, and one failure never stops its neighbours."""

import queue
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.tasks import Task

from modeldiff_core.errors import ModelDiffError


class RunFailed(ModelDiffError):
    """Some tasks failed for good; names them and says how to go on."""


@dataclass(frozen=True)
class Call:
    """A task and its arguments; `name` is for people, `units` counts towards the progress."""

    name: str
    task: Task[Any, Any]
    arguments: dict[str, Any]
    units: int = 1


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


def run_window(calls: Iterable[Call], limit: int, done: Callable[[Call], None]) -> Outcome:
    """Run every call with at most `limit` of them submitted at a time; `done` is told of each that succeeded."""
    outcome = Outcome()
    finished: queue.SimpleQueue[tuple[Call, PrefectFuture[Any]]] = queue.SimpleQueue()
    waiting: Iterator[Call] = iter(calls)
    running = 0
    exhausted = False
    while running or not exhausted:
        while running < limit and not exhausted:
            call = next(waiting, None)
            if call is None:
                exhausted = True
                break
            future = call.task.submit(**call.arguments)
            future.add_done_callback(lambda f, call=call: finished.put((call, f)))
            running += 1
        if running:
            call, future = finished.get()
            running -= 1
            _collect(outcome, call, future, done)
    return outcome


def _collect(outcome: Outcome, call: Call, future: PrefectFuture[Any], done: Callable[[Call], None]) -> None:
    future.wait()
    state: State[Any] = future.state
    if state.is_completed():
        outcome.results[call.name] = state.result()
        done(call)
        return
    try:
        state.result()
        outcome.failures[call.name] = state.message or state.name or "failed"
    except Exception as error:
        outcome.failures[call.name] = f"{type(error).__name__}: {error}"
