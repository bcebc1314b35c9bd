"""Pointing Prefect at an API through this process's environment, and sending what it has queued before that changes."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from modeldiff_platform.flows.prefect_api.supervisor import Home
from modeldiff_platform.flows.prefect_api.surroundings import STAYS_HERE, direct


@contextmanager
def pointed_at(home: Home, api_url: str) -> Iterator[None]:
    """Points Prefect at the API through the environment, which child processes inherit, and puts it back at the end.

    No thread of a run may be left by then: it would ask the API that was there before.
    """
    settings: dict[str, str | None] = {
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_PROFILE": None,  # names a profile of the user's own Prefect home
        "PREFECT_PROFILES_PATH": None,
        **STAYS_HERE,
        **direct(),
    }
    with _environment(settings):
        yield


@contextmanager
def reached_directly() -> Iterator[None]:
    """Let Prefect's clients ignore proxies, for an API on this machine, and put the environment back at the end."""
    with _environment({**direct()}):
        yield


@contextmanager
def _environment(settings: dict[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    _set_environment(settings)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if "prefect.context" in sys.modules:
        from prefect.context import refresh_global_settings_context

        # Prefect reads the environment once, at its import. Its temporary_settings would not do: they hold for the
        # current context only, and threads that runners start would still see the old address.
        refresh_global_settings_context()


def send_queued() -> None:
    """Waits until this process's logs and events are with the server that they were meant for, and ends their senders.

    That server may stop once the lease is gone.
    """
    if "prefect" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (EventsWorker, APILogWorker):
        worker.drain_all(timeout=30, at_exit=False)
