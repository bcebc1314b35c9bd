"""Carrying out one step, in whatever process it reaches."""

import socket
from collections.abc import Mapping
from typing import Any, get_type_hints

from modeldiff_core.identity import restore
from modeldiff_core.plan.failures import RecordedFailure, failure_key, write_failure
from modeldiff_core.plan.reference import Reference
from modeldiff_core.plan.step import stage_of
from modeldiff_core.store import ObjectStore, StoreSettings


def perform(store: ObjectStore, work: Mapping[str, Any], execution: object | None = None) -> dict[str, Any]:
    """Carry out what ``Step.work`` wrote and return where the result is, as plain JSON.

    A recorded failure of an earlier attempt is replaced. Checkpoints are removed once the work is over, with a result
    or with a recorded failure.

    Args:
        store: Where inputs are read and the result is written.
        work: The step as plain JSON.
        execution: The device and how to use it, for steps on a device.

    """
    stage, spec = stage_of(work)
    reference = Reference(**work["reference"])
    if isinstance(execution, Mapping):
        execution = restore(get_type_hints(stage)["execution"], execution)
    try:
        stage(store, spec, execution) if work["on_device"] else stage(store, spec)
    except RecordedFailure as failure:
        write_failure(store, reference, failure)
        _remove(store, work["scratch"])
        return {**work["reference"], "failure": failure.reason}
    if store.exists(failure_key(reference)):
        store.delete(failure_key(reference))
    _remove(store, work["scratch"])
    return dict(work["reference"])


def perform_work(
    store: Mapping[str, Any], work: Mapping[str, Any], execution: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Carry out a step in a worker process, whose arguments are plain JSON; also returns where, for the log."""
    result = perform(ObjectStore(StoreSettings(**store)), work, execution)
    if execution is None:
        return result
    return {**result, "device": execution.get("device", "cpu"), "machine": socket.gethostname()}


def _remove(store: ObjectStore, scratch: str) -> None:
    """Delete the checkpoints below a prefix; nothing for a step without one."""
    if scratch:
        for key in store.sizes(scratch.rstrip("/")):
            store.delete(key)
