"""Runs of one work pool take turns on its GPUs: a global concurrency limit of the Prefect server for each device."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prefect.concurrency.sync import concurrency
from prefect.context import FlowRunContext


def gpu_limits(pool: str, devices: Sequence[str]) -> list[str]:
    """Return the names of the limits, one for each GPU among the devices."""
    return [f"modeldiff.{pool}.{device}" for device in devices if device != "cpu"]


@contextmanager
def turns_on_gpus(devices: Sequence[str]) -> Iterator[None]:
    """Wait until this run may use all of its GPUs, and hold them; a run that came from no work pool never waits.

    All are taken together, so that two runs never wait for each other; they are free again when the run ends, and soon
    after it was killed.
    """
    context = FlowRunContext.get()
    pool = context.flow_run.work_pool_name if context and context.flow_run else None
    names = gpu_limits(pool, devices) if pool else []
    if not names:
        yield
        return
    with concurrency(names, lease_duration=60):
        yield
