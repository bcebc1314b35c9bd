"""A bounded window of task runs: never thousands at once, and one failure never stops its neighbors."""

import queue
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from functools import partial
from typing import Any

from prefect.futures import PrefectFuture

from modeldiff_core.errors import ModelDiffError
from modeldiff_core.identity import plain
from modeldiff_core.plan import Outcome, Step, Wave
from modeldiff_core.plan.progress import Advance
from modeldiff_core.store import StoreSettings
from modeldiff_platform.flows.request import RunnerConfig
from modeldiff_platform.flows.runners.runner import Call, Runner
from modeldiff_platform.tasks.step import arguments_of, task_of

AGAIN = 2
"""How often a task is sent again that its cluster gave up: Dask does so to all of a client that loses its scheduler."""
Finished = queue.SimpleQueue[tuple[Call, PrefectFuture[Any]]]


class GivenUp(ModelDiffError):
    """A task that its cluster cancelled again and again."""


class Window:
    """Carries out the steps of a wave as Prefect's task runs, at most two of them submitted for each place.

    Args:
        places: The runner.
        runner: Its settings.
        store: Settings of the store.

    """

    def __init__(self, places: Runner, runner: RunnerConfig, store: StoreSettings) -> None:
        self.places, self.runner = places, runner
        settings = plain(store)
        assert isinstance(settings, dict)
        self.store: dict[str, Any] = settings

    def __call__(self, wave: Wave, steps: Sequence[Step], done: Advance, complete: Sequence[Step] = ()) -> Outcome:
        """Carry out all the steps; complete ones are only shown, as cached task runs."""
        named, outcome = {step.name: step for step in steps}, Outcome()

        def finished(call: Call, result: dict[str, Any]) -> None:
            if call.name in named:
                done(named[call.name])
                if "failure" in result:
                    outcome.recorded[call.name] = result["failure"]

        calls = [*map(self._shown, complete), *map(self._call, steps)]
        outcome.failures |= run_window(calls, self.places, finished)
        return outcome

    def _call(self, step: Step) -> Call:
        execution = self.runner.execution()
        arguments = arguments_of(step, self.store, execution, self.runner.shard_timeout_s)
        return Call(step.name, task_of(step, missing=True), arguments)

    def _shown(self, step: Step) -> Call:
        arguments = {"name": step.name, "reference": plain(step.reference), "work": None, "store": self.store}
        return Call(f"{step.name} (complete)", task_of(step, missing=False), arguments)


def run_window(
    calls: Iterable[Call], runner: Runner, done: Callable[[Call, dict[str, Any]], None]
) -> dict[str, BaseException]:
    """Run every call with at most two of them submitted for each place.

    Args:
        calls: What to run.
        runner: Where.
        done: Called with each call that succeeded, and its result.

    Returns:
        The errors of the others by name.

    """
    failures: dict[str, BaseException] = {}
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
                result = future.result()
            except CancelledError as error:
                if again[call.name] < AGAIN:
                    again[call.name] += 1
                    _send(runner, call, finished)
                    continue
                failures[call.name] = GivenUp(f"cancelled by the cluster {AGAIN + 1} times: {error}")
            except Exception as error:
                failures[call.name] = error
            else:
                done(call, result)
            running -= 1
    return failures


def _send(runner: Runner, call: Call, finished: Finished) -> None:
    runner.submit(call).add_done_callback(partial(_put, finished, call))


def _put(finished: Finished, call: Call, future: PrefectFuture[Any]) -> None:
    finished.put((call, future))
