"""The Prefect API of a command: the one that is configured, or a private server on loopback that commands share.

A process takes a lease, finds the server of its home folder or starts one (supervisor.py), and points Prefect at it.
The server stops a few seconds after its last lease; its database stays, so the UI shows every run of that home.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modeldiff_core.errors import ConfigError, ModelDiffError
from modeldiff_platform.flows.prefect_api.configured import check_api, ui_url, without_credentials
from modeldiff_platform.flows.prefect_api.environment import pointed_at, reached_directly, send_queued
from modeldiff_platform.flows.prefect_api.private_server import join_server, kept_up
from modeldiff_platform.flows.prefect_api.supervisor import Home, Lease
from modeldiff_platform.flows.prefect_api.surroundings import home_folder, is_loopback

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

MOST_SAID = 300  # characters of an answer that are shown

_leases: list[Lease] = []


@dataclass(frozen=True)
class ApiAddress:
    """Where Prefect records the runs, where a browser shows them, and whether the server is the private one."""

    api_url: str
    ui_url: str
    private: bool


@contextmanager
def prefect_api(home: Path | None = None) -> Iterator[ApiAddress]:
    """Yield the Prefect API to use: the configured one, checked for an answer at once, or the private server's.

    With `PREFECT_API_URL` in the environment nothing is started. Without it the private server of `home` (by default
    `$MODELDIFF_HOME`, or `~/.modeldiff`) is joined or started, and Prefect, imported already or not, is pointed at it
    until the context ends. What Prefect has still to send is sent before the address changes: it has one sender of
    events for all addresses, and a sender of an earlier one would fail at each event of runs that its server lacks.

    Raises ConfigError if the configured API does not answer or refuses the credentials, or if the home folder cannot
    be written; ModelDiffError, with the end of the server's log, if the private server does not start, and for what
    the API refuses or leaves unanswered later, until the context ends.
    """
    if configured := os.environ.get("PREFECT_API_URL"):
        check_api(configured)
        send_queued()
        page = os.environ.get("PREFECT_UI_URL") or ui_url(without_credentials(configured))
        here = reached_directly() if is_loopback(configured) else nullcontext()
        with here, _failures_of_the_api(without_credentials(configured)):
            yield ApiAddress(configured, page, private=False)
        return
    root = home or home_folder()
    with ExitStack() as stack:
        try:
            folder = Home(root.expanduser().resolve())
            folder.create()
            folder.check_room()
            lease = stack.enter_context(folder.lease())
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
            raise ConfigError(
                "MODELDIFF_HOME",
                "a folder that can be written",
                str(root),
                f"{getattr(error, 'strerror', None) or error}. The private Prefect server keeps its history there.",
            ) from error
        address = ApiAddress(f"{(url := join_server(folder).url)}/api", url, private=True)
        send_queued()
        stack.enter_context(kept_up(folder))
        with pointed_at(folder, address.api_url):
            _leases.append(lease)
            try:
                with _failures_of_the_api(address.api_url):
                    yield address
            finally:
                _leases.remove(lease)
                send_queued()


def note_run(flow: object, flow_run: "FlowRun", state: object) -> None:
    """Note the run with the private server, if that is used, which sees when this process dies."""
    if _leases:
        _leases[-1].note(str(flow_run.id))


@contextmanager
def _failures_of_the_api(api_url: str) -> Iterator[None]:
    """Turns what Prefect's client raises, once it has tried often enough, into a ModelDiffError in one line."""
    try:
        yield
    except Exception as error:
        if "httpx" not in sys.modules:
            raise
        from httpx import HTTPStatusError, TransportError

        if isinstance(error, HTTPStatusError):
            asked, answer = error.request, error.response
            said = " ".join(answer.text.split())[:MOST_SAID]
            what = f"{asked.method} {asked.url.path} was answered with {answer.status_code}: {said}"
        elif isinstance(error, TransportError):
            what = f"no connection: {type(error).__name__}: {error}"
        else:
            raise
        raise ModelDiffError(f"Prefect's API at {api_url}: {what}") from error
