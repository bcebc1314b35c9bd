"""A Prefect server as an operator runs it: a process of its own on loopback, behind a password."""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.ports import free_ports

PASSWORD = "operator:secret-of-the-tests-51c0"

BUSY = 30.0
"""Seconds for which a server may answer that it is busy, as Prefect's own client lets it."""


@dataclass
class PrefectServer:
    """Where it is, the settings that it has, and the environment with which commands and workers find it."""

    folder: Path
    port: int
    settings: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "AWS_"))}
        return kept | {
            "PREFECT_API_URL": self.api,
            "PREFECT_API_AUTH_STRING": PASSWORD,
            "PREFECT_HOME": str(self.folder / "client"),
            "MODELDIFF_HOME": str(self.folder / "home"),
            "DO_NOT_TRACK": "1",
            "NO_PROXY": "127.0.0.1",
            "PYTHONUNBUFFERED": "1",
        }

    def ask(self, path: str, body: object = None, method: str | None = None) -> Any:
        token = base64.b64encode(PASSWORD.encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}/{path}", data, headers, method=method)
        end = time.monotonic() + BUSY
        while True:
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:  # 503: its SQLite is locked by another of its own threads
                if error.code != 503 or time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def state(self, run_id: str) -> str:
        return str(self.ask(f"flow_runs/{run_id}")["state_name"])

    def start(self) -> None:
        """Serve, with what an earlier process left in the folder, until the API answers."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env={**kept, **self.settings}, cwd=self.folder, stdout=log, stderr=log
            )
        _wait(self, self.process)

    def stop(self) -> None:
        """End it as a service manager does; the history stays."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def kill(self) -> None:
        """Kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def prefect_server(folder: Path, **more: str) -> Iterator[PrefectServer]:
    """Yield a server that looks for silent runs every second, until the block ends; more: settings of it."""
    port = free_ports()
    settings = {
        "PREFECT_HOME": str(folder / "server"),
        "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api",  # by default that of port 4200
        "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
        **more,
    }
    server = PrefectServer(folder, port, settings)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _wait(server: PrefectServer, process: "subprocess.Popen[bytes]", seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        try:
            server.ask("admin/version")
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the server did not start: {(server.folder / 'server.log').read_text()[-2000:]}")
