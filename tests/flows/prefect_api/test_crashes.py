"""A flow run whose process is killed is marked as crashed: by the private server, and by heartbeats on any other."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.commands import wait_for
from harness.prefect_server import PrefectServer, prefect_server
from modeldiff_platform.flows.prefect_api.supervisor import Home

pytestmark = pytest.mark.nightly

SUPERVISOR = "modeldiff_platform.flows.prefect_api.supervisor"
RUN = """
import sys, time
{before}
with prefect_api() as api:
    from prefect import flow
    from modeldiff_platform.flows.prefect_api.cancelling import stopped_when_cancelled
    from prefect.exceptions import CancelledRun
    from prefect.states import Cancelled
    from modeldiff_platform.flows.prefect_api.server import note_run

    @flow(name="compare", on_running=[note_run])
    def compare(seconds):
        from prefect.runtime import flow_run
        print(api.api_url, flow_run.id, flush=True)
        try:
            with stopped_when_cancelled():
                time.sleep(seconds)
        except CancelledRun as error:
            return Cancelled(message=str(error))

    compare(float(sys.argv[1]))
    time.sleep(float(sys.argv[2]))
"""
PRIVATE = RUN.format(
    before="""
from modeldiff_platform.flows.prefect_api import cancelling
cancelling.EVERY = 0.5
from modeldiff_platform.flows.prefect_api.server import prefect_api
"""
)
HEARTBEATS = RUN.format(
    before="""
from prefect import flow_engine
flow_engine.MINIMUM_HEARTBEAT_INTERVAL = 1
flow_engine.BaseFlowRunEngine.heartbeat_seconds = 1
from modeldiff_platform.flows.prefect_api.server import prefect_api
"""
)
SILENT = RUN.format(
    before="""
from prefect import flow_engine
flow_engine.BaseFlowRunEngine._emit_flow_run_heartbeat = lambda *event: None
from modeldiff_platform.flows.prefect_api.server import prefect_api
"""
)


def start(script: str, environment: dict[str, str], runs: float, stays: float = 0) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, str(runs), str(stays)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def begun(process: "subprocess.Popen[str]") -> tuple[str, str]:
    assert process.stdout
    api, run_id = process.stdout.readline().split()
    return api, run_id


def kill(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def cancel(api: str, run_id: str) -> None:
    """As the UI does."""
    body = json.dumps({"state": {"type": "CANCELLING", "name": "Cancelling"}}).encode()
    asked = urllib.request.Request(f"{api}/flow_runs/{run_id}/set_state", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(asked, timeout=20).close()


def state(api: str, run_id: str) -> str:
    with urllib.request.urlopen(f"{api}/flow_runs/{run_id}", timeout=20) as answer:
        return str(json.load(answer)["state_name"])


@pytest.fixture
def private(tmp_path: Path) -> Iterator[dict[str, str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    yield {**kept, "MODELDIFF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[1:] == ["-m", SUPERVISOR, str(tmp_path)]:
            process.kill()


def test_the_private_server_sees_who_was_killed_or_cancelled_and_the_next_one_what_was_killed_with_it(
    private: dict[str, str], tmp_path: Path
) -> None:
    alive, ended, killed, cancelled = (start(PRIVATE, private, *times) for times in ((600,), (0, 600), (600,), (600,)))
    (api, living), (_, ended_run), (_, killed_run), (_, cancelled_run) = map(begun, (alive, ended, killed, cancelled))
    wait_for(lambda: state(api, ended_run) == "Completed", 120, "the end of the short run")
    assert state(api, killed_run) == "Running"
    kill(killed)
    kill(ended)
    wait_for(lambda: state(api, killed_run) == "Crashed", 120, "the mark")
    cancel(api, cancelled_run)
    assert cancelled.wait(120) != 0, "the call raises CancelledRun"
    cancelled.communicate()
    assert state(api, cancelled_run) == "Cancelled"
    assert state(api, living) == "Running"
    server = Home(tmp_path).state()
    assert server
    psutil.Process(server.pid).kill()
    kill(alive)
    again = start(PRIVATE, private, 600)
    api, new = begun(again)
    wait_for(lambda: state(api, living) == "Crashed", 120, "the mark by the next server")
    assert state(api, ended_run) == "Completed"
    assert state(api, new) == "Running"
    kill(again)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with prefect_server(tmp_path_factory.mktemp("server")) as server:
        yield server


AUTOMATION = """
from datetime import timedelta
from prefect.client.orchestration import get_client
from modeldiff_platform.flows.prefect_api.heartbeats import crash_when_silent, put_automation
with get_client(sync_client=True) as client:
    for seconds in (60, 10):
        put_automation(client, crash_when_silent(timedelta(seconds=seconds)))
"""


def test_any_server_misses_the_heartbeats_of_a_killed_run(server: PrefectServer) -> None:
    subprocess.run([sys.executable, "-c", AUTOMATION], env=server.environment, check=True, timeout=120)
    (automation,) = server.ask("automations/filter", {})
    assert automation["trigger"]["within"] == 10
    script_and_seconds = (HEARTBEATS, 600), (SILENT, 600), (HEARTBEATS, 600), (HEARTBEATS, 4)
    killed, at_once, alive, ended = processes = [start(s, server.environment, t) for s, t in script_and_seconds]
    runs = [begun(process)[1] for process in processes]
    kill(at_once)
    wait_for(lambda: heartbeats(server, runs[0]) > 1, 120, "a second heartbeat")
    assert heartbeats(server, runs[1]) == 0
    assert server.state(runs[0]) == "Running"
    kill(killed)
    ended.wait(120)
    wait_for(lambda: server.state(runs[0]) == server.state(runs[1]) == "Crashed", 120, "the mark")
    assert server.state(runs[2]) == "Running"
    assert server.state(runs[3]) == "Completed"
    kill(alive)


def heartbeats(server: PrefectServer, run_id: str) -> int:
    """How many the server has got of a run."""
    names, of = {"name": ["prefect.flow-run.heartbeat"]}, {"id": [f"prefect.flow-run.{run_id}"]}
    return int(server.ask("events/filter", {"filter": {"event": names, "resource": of}})["total"])
