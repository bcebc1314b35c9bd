"""A Prefect server behind a password with a work pool, commands and a worker on it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.context import refresh_global_settings_context

from harness.commands import Commands
from harness.prefect_server import PrefectServer, prefect_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with prefect_server(tmp_path_factory.mktemp("server")) as server:
        server.ask("work_pools/", {"name": "here", "type": "process", "base_job_template": process_template()})
        yield server


def process_template() -> dict[str, Any]:
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()


@pytest.fixture(scope="module")
def here(server: PrefectServer) -> Commands:
    return Commands({**server.environment, "PYTHONPATH": os.environ.get("PYTHONPATH", str(Path.cwd()))}, server.folder)


@pytest.fixture
def worker(here: Commands) -> Iterator[None]:
    """In a folder of its own, with nothing but the package and the server's address."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "here", "--type", "process"]
    settings = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "1"}
    settings["PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER"] = "json"
    with (here.folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**here.environment, **settings}, cwd="/", stdout=log, stderr=log, start_new_session=True
        )
        yield
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def client_here(server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is a client of the server too: commands in it are quicker than in one of their own."""
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_HOME", "NO_PROXY"):
        monkeypatch.setenv(name, server.environment[name])
    refresh_global_settings_context()
    yield
    monkeypatch.undo()
    refresh_global_settings_context()
