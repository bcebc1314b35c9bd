"""Joining the private server of a home folder, or starting it, and starting it again if it is killed."""

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modeldiff_core.errors import ConfigError, ModelDiffError
from modeldiff_platform.flows.prefect_api.supervisor import Home, ServerState

START_TIMEOUT = 180.0  # seconds; 4 are usual, a minute where each process gets a tenth of a core
ANSWER_TIMEOUT = 5.0  # seconds
LOOK_EVERY = 2.0  # seconds between two looks whether the private server lives
RESTARTS = 5  # of a server that keeps ending with an error
LOG_LINES = 20


def join_server(home: Home) -> ServerState:
    """Return the state of the running server, started if need be; the caller holds a lease."""
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
def kept_up(home: Home) -> Iterator[None]:
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
            [sys.executable, "-m", "modeldiff_platform.flows.prefect_api.supervisor", str(home.root)],
            cwd=Path(__file__).parents[3],  # where `modeldiff` is found, installed or not
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
