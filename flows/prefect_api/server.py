"""The Prefect API of a command: the one that is configured, or a private server on loopback that commands share.

A process takes a lease, finds the server of its home folder or starts one (supervisor.py), and points Prefect at it.
The server stops a few seconds after its last lease; its database stays, so the UI shows every run of that home.
"""

import base64
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from flows.prefect_api.supervisor import Home, Lease, ServerState
from modeldiff_core.errors import ConfigError, ModelDiffError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

START_TIMEOUT = 180.0  # seconds; 4 are usual, a minute where each process gets a tenth of a core
ANSWER_TIMEOUT = 5.0  # seconds
LOOK_EVERY = 2.0  # seconds between two looks whether the private server lives
RESTARTS = 5  # of a server that keeps ending with an error
LOG_LINES = 20
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
    """The Prefect API to use: the configured one, checked for an answer at once, or the private server's.

    With `PREFECT_API_URL` in the environment nothing is started. Without it the private server of `home` (by default
    `$MODELDIFF_HOME`, or `~/.modeldiff`) is joined or started, and Prefect, imported already or not, is pointed at it
    until the context ends. What Prefect has still to send is sent before the address changes: it has one sender of
    events for all addresses, and a sender of an earlier one would fail at each event of runs that its server lacks.

    Raises ConfigError if the configured API does not answer or refuses the credentials, or if the home folder cannot
    be written; ModelDiffError, with the end of the server's log, if the private server does not start, and for what
    the API refuses or leaves unanswered later, until the context ends.
    """
    if configured := os.environ.get("PREFECT_API_URL"):
        _check(configured)
        _send_what_is_queued()
        ui_url = os.environ.get("PREFECT_UI_URL") or _ui_url(shown(configured))
        with _failures_of_the_api(shown(configured)):
            yield ApiAddress(configured, ui_url, private=False)
        return
    root = home or Path(os.environ.get("MODELDIFF_HOME") or "~/.modeldiff")
    with ExitStack() as stack:
        try:
            folder = Home(root.expanduser().resolve())
            folder.create()
            lease = stack.enter_context(folder.lease())
        except (OSError, RuntimeError) as error:  # RuntimeError: nobody knows where ~ is
            raise ConfigError(
                "MODELDIFF_HOME",
                "a folder that can be written",
                str(root),
                f"{getattr(error, 'strerror', None) or error}. The private Prefect server keeps its history there.",
            ) from error
        address = ApiAddress(f"{(url := _join(folder).url)}/api", url, private=True)
        _send_what_is_queued()
        stack.enter_context(_kept_up(folder))
        with _environment(folder, address.api_url):
            _leases.append(lease)
            try:
                with _failures_of_the_api(address.api_url):
                    yield address
            finally:
                _leases.remove(lease)
                _send_what_is_queued()


def note_run(flow: object, flow_run: "FlowRun", state: object) -> None:
    """A flow's hook: notes the run with the private server, if that is used, which sees when this process dies."""
    if _leases:
        _leases[-1].note(str(flow_run.id))


def shown(api_url: str) -> str:
    """The address without the credentials that may stand in it."""
    parts = urlsplit(api_url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


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


def _join(home: Home) -> ServerState:
    """The state of the running server, started if need be; the caller holds a lease."""
    started: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if home.has_server():
            state = home.state()
            if state and state.machine != socket.gethostname():
                raise ConfigError(
                    "MODELDIFF_HOME",
                    f"a folder whose server runs on this machine ({socket.gethostname()})",
                    f"{home.root}, served on {state.machine}",
                    "Set MODELDIFF_HOME to another folder, or PREFECT_API_URL to a server that both machines reach.",
                )
            if state and _answers(state.url):
                return state
        elif started is None or started.poll() == 0:  # 0: another was first, and has ended since
            started = _start(home)
        elif started.poll() is not None:
            raise _not_started(home, f"ended with code {started.returncode}")
        time.sleep(0.05)
    raise _not_started(home, f"did not answer within {START_TIMEOUT:.0f} s")


@contextmanager
def _kept_up(home: Home) -> Iterator[None]:
    """Starts the server again if it is killed before the block ends.

    It comes back on its port, if that is free, and Prefect's clients try that for minutes.
    """
    over = threading.Event()

    def watch() -> None:
        started: subprocess.Popen[bytes] | None = None
        left = RESTARTS
        while left and not over.wait(LOOK_EVERY):
            if not home.has_server() and (started is None or started.poll() is not None):
                if started is not None and started.returncode != 0:
                    left -= 1
                started = _start(home)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _start(home: Home) -> "subprocess.Popen[bytes]":
    with home.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "flows.prefect_api.supervisor", str(home.root)],
            cwd=Path(__file__).parents[2],  # where `flows` is found, installed or not
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C ends the command, not the server that another command may share
        )
    threading.Thread(target=process.wait, daemon=True).start()  # reaps it if it ends before this process
    return process


def _not_started(home: Home, how: str) -> ModelDiffError:
    lines = home.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    end = "\n".join(f"    {line}" for line in lines) or "    (empty)"
    return ModelDiffError(f"The private Prefect server {how}. The end of its log, {home.log}:\n{end}")


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/api/health", timeout=ANSWER_TIMEOUT) as answer:
            return json.load(answer) is True
    except (OSError, ValueError):
        return False


@contextmanager
def _environment(home: Home, api_url: str) -> Iterator[None]:
    """Points Prefect at the API through the environment, which child processes inherit, and puts it back at the end."""
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1"]))
    settings: dict[str, str | None] = {
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_PROFILE": None,  # names a profile of the user's own Prefect home
        "PREFECT_PROFILES_PATH": None,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": direct,  # Prefect's client would ask a configured proxy for loopback
        "no_proxy": direct,
    }
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


def _send_what_is_queued() -> None:
    """Waits until this process's logs and events are with the server that they were meant for, and ends their senders.

    That server may stop once the lease is gone.
    """
    if "prefect" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (EventsWorker, APILogWorker):
        worker.drain_all(timeout=30, at_exit=False)


def _check(api_url: str) -> None:
    """Asks a configured API whether it lives and lets this user in."""
    try:
        in_address = urlsplit(api_url).netloc.rpartition("@")[0]
        bare = shown(api_url).rstrip("/")
    except ValueError as error:  # such as an IPv6 address without its closing bracket
        raise _no_api(api_url.rpartition("@")[2], str(error)) from None
    if not bare.startswith(("http://", "https://")):
        raise _no_api(bare, "It does not begin with http:// or https://")
    source, headers = _credentials(unquote(in_address))
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=_tls()))
    # health is open to all, also where the API asks for a password; the version is not (Prefect Cloud has none: 404)
    for path in ("health", "admin/version"):
        try:
            request = urllib.request.Request(f"{bare}/{path}", headers=headers)  # noqa: S310
            with opener.open(request, timeout=ANSWER_TIMEOUT) as answer:
                is_page = "html" in answer.headers.get("Content-Type", "")
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise _refused(bare, error.code, source) from None
            if path == "health" or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise _no_api(bare, f"It answered {error.code} {error.reason}") from None
            continue
        except (OSError, ValueError, HTTPException) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            raise _no_api(bare, f"No connection: {cause}") from None
        if is_page:
            raise _no_api(bare, "It answered with a web page; the API's address usually ends in /api")


def _ui_url(api_url: str) -> str:
    """Where the UI is by Prefect's own convention, on a server and on Prefect Cloud."""
    url = (
        api_url.rstrip("/").removesuffix("/api").replace("https://api.prefect.cloud/api/", "https://app.prefect.cloud/")
    )
    return url.replace("/accounts/", "/account/").replace("/workspaces/", "/workspace/")


def _credentials(in_address: str) -> tuple[str, dict[str, str]]:
    """Where the credentials come from ("" if there are none), and the header that sends them as Prefect would."""
    if password := in_address or os.environ.get("PREFECT_API_AUTH_STRING"):
        token = base64.b64encode(password.encode()).decode()
        return "the address" if in_address else "PREFECT_API_AUTH_STRING", {"Authorization": f"Basic {token}"}
    if key := os.environ.get("PREFECT_API_KEY"):
        return "PREFECT_API_KEY", {"Authorization": f"Bearer {key}"}
    return "", {}


def _tls() -> ssl.SSLContext:
    """The same trust as Prefect's client has."""
    import certifi

    context = ssl.create_default_context(cafile=os.environ.get("PREFECT_API_SSL_CERT_FILE") or certifi.where())
    if os.environ.get("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", "").lower() in ("1", "true", "yes", "on"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_api(url: str, cause: str) -> ConfigError:
    hint = f"{cause}. Start that server, correct the address, or unset the variable to use a private server."
    return ConfigError("PREFECT_API_URL", "a Prefect API that answers", url, hint)


def _refused(url: str, status: int, source: str) -> ConfigError:
    sent = f"the credentials in {source} are wrong" if source else "no credentials were sent"
    remedy = "Set PREFECT_API_AUTH_STRING=user:password, or PREFECT_API_KEY for Prefect Cloud"
    return ConfigError(
        "PREFECT_API_URL", "a Prefect API that accepts the credentials", url, f"It answered {status}: {sent}. {remedy}."
    )
