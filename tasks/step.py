"""The task of every step of every experiment."""

import time
from typing import Any

from prefect import get_run_logger, task

from modeldiff_core.plan import Step
from modeldiff_core.plan.perform import perform_work
from modeldiff_platform.tasks.policy import CACHED, RETRIES
from modeldiff_platform.tasks.worker_pool import run_stage


def make(
    name: str,
    reference: dict[str, Any],
    work: dict[str, Any] | None,
    store: dict[str, Any],
    execution: dict[str, Any] | None = None,
    limit: float | None = None,
) -> dict[str, Any]:
    """Carry out a step and return where its result is.

    Args:
        name: Of the step, for people.
        reference: Where the result is, which also makes the cache key.
        work: What ``Step.work`` wrote; None for a step that is complete, which is only shown.
        store: Settings of the store.
        execution: How to use the device, for a step on a device.
        limit: Seconds that the step may take on its worker.

    """
    if work is None:
        return reference
    began = time.monotonic()
    result = run_stage(perform_work, store, work, execution=execution, limit=limit)
    place = f" on {result.pop('device')} of {result.pop('machine')}" if "device" in result else ""
    ended = f": {result['failure']}" if "failure" in result else ""
    get_run_logger().info("%s%s: %.1f s with waiting for a place%s", name, place, time.monotonic() - began, ended)
    return result


def arguments_of(step: Step, store: dict[str, Any], execution: dict[str, Any], limit: float) -> dict[str, Any]:
    """Return the arguments of the task for a step that is missing."""
    work = step.work()
    given = {"name": step.name, "work": work, "store": store, "reference": work["reference"]}
    device = {"execution": execution} if step.on_device else {}
    own = step.limit if step.limit is not None else limit if step.on_device else None
    return {**given, **device, "limit": own}


def task_of(step: Step, missing: bool) -> Any:
    """Return the task for a step: its name and tags in Prefect's UI, and how it is retried and cached.

    A cached reference whose object is gone is forgotten.
    """
    options: dict[str, Any] = {"name": step.label.task, "tags": list(step.label.tags)}
    if step.memoized:
        return memoized.with_options(refresh_cache=missing, **options)
    return plain_task.with_options(**options)


plain_task = task(name="step", task_run_name="{name}", **RETRIES)(make)
memoized = task(name="step", task_run_name="{name}", **CACHED)(make)
