"""A run of the command line stops when it is cancelled in the UI; a run of a work pool is stopped by its worker."""

import contextvars
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.exceptions import CancelledRun, PrefectHTTPStatusError

EVERY = 5.0
"""Seconds between two looks at the run's state."""


CANCELLED = "cancelled; the same command goes on where it stopped"


@contextmanager
def stopped_when_cancelled() -> Iterator[None]:
    """Raises CancelledRun out of whatever the block does, once its run is being cancelled.

    The flow then returns the state CANCELLED. What it stored stays sound, and the same command goes on from there.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.work_pool_name is not None:
        yield
        return
    over, cancelled = threading.Event(), threading.Event()
    # a copy, so that the thread asks the same API
    watch = partial(contextvars.copy_context().run, _watch, run.id, over, cancelled)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        if cancelled.is_set():
            raise CancelledRun(CANCELLED) from None
        raise
    finally:
        over.set()


def _watch(run_id: UUID, over: threading.Event, cancelled: threading.Event) -> None:
    with get_client(sync_client=True) as client:
        while not over.wait(EVERY):
            try:
                state = client.read_flow_run(run_id).state
            except (httpx.HTTPError, PrefectHTTPStatusError):
                continue  # a server that restarts must not end the run
            if state is not None and state.type in (StateType.CANCELLING, StateType.CANCELLED):
                cancelled.set()
                os.kill(os.getpid(), signal.SIGINT)  # nothing else interrupts a thread that waits
                return
