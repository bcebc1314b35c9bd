"""The slots of this process, which tasks hand their stages to.

A Prefect task is a thread that hands its stage to the next free slot and waits. On the worker of a cluster, which is
such a process already, there are no slots, and stages run where their task does.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prefect.utilities.timeout import timeout

from modeldiff_core.threads import one_thread
from modeldiff_core.training.slots import OutOfTime, Slots, Stage, WorkerDied

__all__ = ["OutOfTime", "Slots", "WorkerDied", "open_slots", "run_stage"]

_open: Slots | None = None


@contextmanager
def open_slots(devices: Sequence[str]) -> Iterator[Slots]:
    """Slots that run_stage uses until the block ends."""
    global _open
    previous, _open = _open, Slots(devices, script=False)  # stages are defined in modules, never in a script
    try:
        yield _open
    finally:
        _open.close()
        _open = previous


def run_stage(
    stage: Stage, *args: Any, execution: Mapping[str, Any] | None = None, limit: float | None = None
) -> dict[str, Any]:
    """Run a stage in the open slots of this process, or here where there are none: on a cluster's worker.

    execution and limit are those of Slots.run; a cluster's execution names its device.
    """
    if _open is not None:
        return _open.run(stage, *args, execution=execution, limit=limit)
    one_thread()
    last = [] if execution is None else [dict(execution)]
    try:
        with timeout(limit, _Ended):
            return stage(*args, *last)
    except _Ended:
        raise OutOfTime(limit or 0) from None


class _Ended(TimeoutError):
    """The end of the limit, told apart from a stage's own time-outs."""
