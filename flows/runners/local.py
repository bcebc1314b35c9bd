"""The local runner: a thread for each task in the window, in front of a pool of worker processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from modeldiff_core.store import StoreSettings
from modeldiff_platform.flows.request import RunnerConfig
from modeldiff_platform.flows.runners.runner import Call, Runner
from modeldiff_platform.tasks.worker_pool import Slots, open_slots


class LocalRunner:
    """Threads of a flow over the slots of this machine."""

    def __init__(self, config: RunnerConfig, slots: Slots, threads: ThreadPoolTaskRunner[Any]) -> None:
        self.config, self.slots, self.threads = config, slots, threads

    @property
    def places(self) -> int:
        return len(self.slots.devices)

    def submit(self, call: Call) -> PrefectFuture[Any]:
        return self.threads.submit(call.task, call.arguments)

    def widen(self, processes: int) -> None:
        self.slots.add(self.config.slots(processes)[len(self.slots.devices) :])


@contextmanager
def open_local(runner: RunnerConfig, _store: StoreSettings) -> Iterator[Runner]:
    """Slots and threads until the block ends."""
    most = 2 * len(runner.slots(max(runner.processes)))
    # Slots are closed first: after an interruption the threads would wait for stages that are still running.
    with ThreadPoolTaskRunner[Any](max_workers=most) as threads, open_slots(runner.slots()) as slots:
        yield LocalRunner(runner, slots, threads)
