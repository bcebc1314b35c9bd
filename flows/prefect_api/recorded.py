"""Runs of the command line on a Prefect server, private or not, that sees when their process is killed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from modeldiff_platform.flows.prefect_api.run_log import errors_to_log
from modeldiff_platform.flows.prefect_api.server import ApiAddress, prefect_api

HEARTBEAT = "30"
"""Seconds between two signs of life of a run, the least that Prefect allows."""
RETRIES = "7"
"""Of each call of the API, after 2, 4, ... seconds: a server that is away for four minutes ends no run."""
ENVIRONMENT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": HEARTBEAT, "PREFECT_CLIENT_MAX_RETRIES": RETRIES}
"""For every process that runs flows."""


@contextmanager
def recorded() -> Iterator[ApiAddress]:
    """Yield the Prefect API to run flows on; their logs go there, and errors to a file too, none to the terminal."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    errors_to_log()
    with prefect_api() as api:
        if not api.private:
            _watch()
        yield api


def _watch() -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    from modeldiff_platform.flows.prefect_api.heartbeats import crash_when_silent, put_automation

    try:
        with get_client(sync_client=True) as client:
            put_automation(client, crash_when_silent())
    except PrefectHTTPStatusError as error:
        why = f"{error.response.status_code} {error.response.text}"  # an error's own words may show a password
        print(f"modeldiff: warning: if this run is killed it stays running in the UI: {why}", file=sys.stderr)
