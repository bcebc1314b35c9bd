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
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Cancelled

EVERY = 5.0
"""Seconds between two looks at the run's state."""


@contextmanager
def stopped_when_cancelled() -> Iterator[None]:
    """Interrupts this process as Ctrl-C does, once its run is being cancelled; what it stored stays sound."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.work_pool_name is not None:
        yield
        return
    over = threading.Event()
    # a copy, so that the thread asks the same API
    watch = partial(contextvars.copy_context().run, _watch, run.id, over)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(run_id: UUID, over: threading.Event) -> None:
    with get_client(sync_client=True) as client:
        while not over.wait(EVERY):
            try:
                state = client.read_flow_run(run_id).state
                if state is None or state.type not in (StateType.CANCELLING, StateType.CANCELLED):
                    continue
                client.set_flow_run_state(run_id, Cancelled(message="Cancelled; the same command goes on from here"))
            except (httpx.HTTPError, PrefectHTTPStatusError):
                continue  # a server that restarts must not end the run
            if not over.is_set():
                os.kill(os.getpid(), signal.SIGINT)
            return
