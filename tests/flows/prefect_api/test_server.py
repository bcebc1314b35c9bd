"""The private server, with real processes: the tests of one home run in this order, on one database."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from harness.commands import wait_for
from modeldiff_core.errors import ConfigError, ModelDiffError
from modeldiff_platform.flows.prefect_api.server import prefect_api
from modeldiff_platform.flows.prefect_api.supervisor import Home, Lease, ServerState, _bind
from tests.flows.prefect_api.answering import HEALTHY, answering
from tests.flows.prefect_api.users import environment

USER = """
import sys
from modeldiff_platform.flows.prefect_api.server import prefect_api
with prefect_api() as api:
    print(api.api_url, flush=True)
    sys.stdin.read()
"""

TWO_RUNS = """
import os, sys, threading
from modeldiff_platform.flows.prefect_api.server import prefect_api

assert "prefect" not in sys.modules
with prefect_api() as first:
    from prefect import flow, get_run_logger, task
    from prefect.settings import get_current_settings

    @task
    def double(x):
        return 2 * x

    @flow
    def doubled(x):
        get_run_logger().info("doubling %d", x)
        return double.map(range(x)).result()

    assert doubled.with_options(flow_run_name="imported inside")(20) == list(range(0, 40, 2))
assert get_current_settings().api.url is None
assert "PREFECT_API_URL" not in os.environ
assert os.environ["NO_PROXY"] == "example.org"
with prefect_api() as second:
    seen = []
    thread = threading.Thread(target=lambda: seen.append(get_current_settings().api.url))
    thread.start()
    thread.join()
    assert seen == [second.api_url], seen
    assert doubled.with_options(flow_run_name="imported before")(3) == [0, 2, 4]
print(first == second, first.private, first.ui_url + "/api" == first.api_url)
"""


def start_user(home: Path) -> "subprocess.Popen[str]":
    """A command that uses the server until its standard input ends, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", USER],
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def address(user: "subprocess.Popen[str]") -> str:
    assert user.stdout
    return user.stdout.readline().strip()


def kill_group(user: "subprocess.Popen[str]") -> None:
    os.killpg(user.pid, signal.SIGKILL)
    user.communicate()


def servers(home: Path) -> list[psutil.Process]:
    command = ["-m", "modeldiff_platform.flows.prefect_api.supervisor", str(home)]
    return [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[1:] == command]


def ask(api_url: str, path: str, body: dict[str, object] | None = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{api_url}/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def run_names(api_url: str) -> set[str]:
    runs = ask(api_url, "flow_runs/filter", {})
    assert isinstance(runs, list)
    return {run["name"] for run in runs if run["state_type"] == "COMPLETED"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home of runs")
    yield home
    for server in servers(home):
        server.kill()


@pytest.fixture(scope="module")
def users(home: Path) -> "Iterator[list[subprocess.Popen[str]]]":
    """Two commands that found no server and no database, at the same instant."""
    users = [start_user(home) for _ in range(2)]
    yield users
    for user in users:
        user.kill()
        user.communicate()


def test_commands_that_start_at_once_share_a_server_on_loopback_only(
    home: Path, users: "list[subprocess.Popen[str]]"
) -> None:
    urls = {address(user) for user in users}
    assert len(urls) == 1
    url = urls.pop()
    assert ask(url, "health") is True
    (server,) = servers(home)
    listening = [c.laddr for c in server.net_connections() if c.status == psutil.CONN_LISTEN]
    assert [laddr.ip for laddr in listening] == ["127.0.0.1"]
    assert url == f"http://127.0.0.1:{listening[0].port}/api"
    shown = ask(url.removesuffix("/api"), "ui-settings")
    assert isinstance(shown, dict)
    assert shown["api_url"] == url


def test_runs_are_recorded_whether_prefect_was_imported_before_or_not(home: Path) -> None:
    dead_proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "example.org"}
    done = subprocess.run(
        [sys.executable, "-c", TWO_RUNS], env=environment(home) | dead_proxy, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True", "True"]
    state = Home(home).state()
    assert state
    assert run_names(f"{state.url}/api") == {"imported inside", "imported before"}


def test_history_survives_a_kill_of_everything_and_stale_state_does_not_mislead(
    home: Path, users: "list[subprocess.Popen[str]]"
) -> None:
    (old,) = servers(home)
    for user in users:
        kill_group(user)
    old.kill()
    old.wait(60)
    state = Home(home).state()
    assert state, "the killed server should have left its state behind"
    assert state.pid == old.pid
    with answering({"/api/health": HEALTHY}) as impostor:
        # as if the port had gone to another program, which answers as a Prefect server would
        Home(home).publish(replace(state, url=impostor.url))
        user = start_user(home)
        users.append(user)
        url = address(user)
        assert url != f"{impostor.url}/api"
        (new,) = servers(home)
        assert new.pid != old.pid
    assert run_names(url) == {"imported inside", "imported before"}
    tasks = ask(url, "task_runs/count", {"task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}})
    assert tasks == 23


def test_a_server_that_is_killed_comes_back_at_its_address_while_it_is_used(
    home: Path, users: "list[subprocess.Popen[str]]"
) -> None:
    (server,) = servers(home)
    before = Home(home).state()
    assert before
    server.kill()
    server.wait(60)

    def back() -> bool:
        state = Home(home).state()
        return Home(home).has_server() and state is not None and state.pid != before.pid

    wait_for(back, 300, "another server")
    assert users[-1].poll() is None
    assert run_names(f"{before.url}/api") == {"imported inside", "imported before"}


ACCEPTING = """
import socket
from modeldiff_platform.flows.prefect_api.supervisor import _bind
with socket.socket() as listener:
    port = _bind(listener, None)
    listener.listen()
    print(port, flush=True)
    accepted = listener.accept()
    print("accepted", flush=True)
    input()
"""


def test_the_port_of_a_killed_server_is_taken_while_its_users_are_still_connected_but_not_from_another() -> None:
    command = [sys.executable, "-c", ACCEPTING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout
        port = int(killed.stdout.readline())
        state = ServerState(f"http://127.0.0.1:{port}", killed.pid, socket.gethostname())
        with socket.create_connection(("127.0.0.1", port)):
            assert killed.stdout.readline() == "accepted\n"
            killed.kill()
            killed.wait(60)
            with socket.socket() as listener:
                assert _bind(listener, state) == port
                listener.listen()
                with socket.socket() as late:
                    assert _bind(late, state) != port
            with socket.socket() as elsewhere:
                assert _bind(elsewhere, replace(state, machine="elsewhere")) != port


def test_the_server_ends_after_its_last_user_was_killed(home: Path, users: "list[subprocess.Popen[str]]") -> None:
    second = start_user(home)
    url = address(second)
    kill_group(users[-1])
    time.sleep(1)
    assert ask(url, "health") is True, "a user is left"
    kill_group(second)
    killed = time.monotonic()
    while Home(home).has_server():
        assert time.monotonic() - killed < 120
        time.sleep(0.02)
    assert servers(home) == [], "the lock outlasts the server's last work"
    assert Home(home).state() is None


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / "prefect" / "prefect.db").mkdir(parents=True)
    with pytest.raises(ModelDiffError, match=r"ended with code 3(.|\n)*server\.log(.|\n)*unable to open database file"):
        prefect_api(tmp_path).__enter__()
    assert not Home(tmp_path).has_server()


def test_a_server_of_another_machine_is_not_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    Home(tmp_path).create()
    elsewhere = f"""
from pathlib import Path
from modeldiff_platform.flows.prefect_api.supervisor import Home, ServerState
home = Home(Path({str(tmp_path)!r}))
mine = home.lock_server()
home.publish(ServerState("http://127.0.0.1:1", 1, "elsewhere"))
print(mine, flush=True)
input()
"""
    command = [sys.executable, "-c", elsewhere]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "True\n"
        with pytest.raises(ConfigError, match="served on elsewhere") as raised, prefect_api(tmp_path):
            pass
        holder.communicate("\n")
    assert raised.value.key == "MODELDIFF_HOME"
    assert servers(tmp_path) == []


def test_a_home_that_cannot_be_written_is_a_wrong_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("MODELDIFF_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(ConfigError, match="Not a directory") as raised, prefect_api():
        pass
    assert raised.value.key == "MODELDIFF_HOME"


def test_a_home_in_which_nothing_can_be_made_is_a_wrong_request_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a folder of an earlier run that has become read-only."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "leases").symlink_to("/proc/self")
    with pytest.raises(ConfigError, match="No such file") as raised, prefect_api(tmp_path):
        pass
    assert raised.value.key == "MODELDIFF_HOME"


def test_a_home_of_nobody_is_a_wrong_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ~ is where HOME is not set and the user has no entry in passwd."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("MODELDIFF_HOME", "~nobody-of-that-name/home")
    with pytest.raises(ConfigError, match="Could not determine home") as raised, prefect_api():
        pass
    assert raised.value.key == "MODELDIFF_HOME"


def test_a_run_that_cannot_be_noted_is_no_trouble_at_the_end() -> None:
    with Path("/dev/full").open("w") as file, pytest.raises(OSError, match="No space left"):
        Lease(file).note("run")
