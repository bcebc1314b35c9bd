"""Carrying out the steps of a plan in processes of this machine, without Prefect."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from modeldiff_core.plan import Step, Wave
from modeldiff_core.plan.perform import perform_work
from modeldiff_core.plan.progress import Advance
from modeldiff_core.plan.run import Outcome
from modeldiff_core.store import ObjectStore
from modeldiff_core.training import Execution
from modeldiff_core.training.slots import Slots, WorkerDied

TRIES = 2
"""How often a step is given to a process: one that was killed, for memory say, may do better."""


class InProcesses:
    """Carries out steps in as many processes as there are slots, one torch thread each.

    Args:
        store: Where results are kept; processes open it themselves.
        execution: How to use the device, for steps on a device.
        slots: The processes.
    """

    def __init__(self, store: ObjectStore, execution: Execution, slots: Slots) -> None:
        self.store, self.execution, self.slots = store, execution, slots

    def __call__(self, wave: Wave, steps: Sequence[Step], done: Advance, complete: Sequence[Step] = ()) -> Outcome:
        outcome, lock = Outcome(), threading.Lock()
        with ThreadPoolExecutor(len(self.slots.devices)) as threads:
            running = {threads.submit(self._carry_out, step): step for step in steps}
            try:
                for ended in as_completed(running):
                    step, error = running[ended], ended.exception()
                    with lock:
                        if error is None:
                            result = ended.result()
                            if "failure" in result:
                                outcome.recorded[step.name] = result["failure"]
                            done(step)
                        elif isinstance(error, Exception):
                            outcome.failures[step.name] = error
                        else:
                            raise error
            except BaseException:
                for one in running:
                    one.cancel()
                self.slots.close()
                raise
        return outcome

    def _carry_out(self, step: Step) -> dict[str, Any]:
        execution = asdict(self.execution) if step.on_device else None
        for left in reversed(range(TRIES)):
            try:
                return self.slots.run(
                    perform_work, asdict(self.store.settings), step.work(), execution=execution, limit=step.limit
                )
            except WorkerDied as error:
                if error.over or not left:
                    raise
        raise AssertionError


@contextmanager
def processes(count: int | None = None) -> Iterator[Slots]:
    """Give so many processes on CPUs, as many as this process may use cores if not given, until the block ends."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slots = Slots(("cpu",) * (count or cores), script=False)
    try:
        yield slots
    finally:
        slots.close()
