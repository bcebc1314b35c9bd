"""Runs of one work pool take turns on a GPU, by a limit that the deployment registers on a real server."""

import subprocess
import sys
import time
from pathlib import Path
from select import select

import pytest

from harness.prefect_server import PrefectServer
from modeldiff_platform.flows.cli import main

TURNS = """
import sys
from types import SimpleNamespace
from unittest.mock import patch
from modeldiff_platform.flows.runners.turns import turns_on_gpus
run = SimpleNamespace(flow_run=SimpleNamespace(work_pool_name="here"))
with patch("modeldiff_platform.flows.runners.turns.FlowRunContext", SimpleNamespace(get=lambda: run)):
    print("asks", flush=True)
    with turns_on_gpus(sys.argv[1:]):
        print("holds", flush=True)
        sys.stdin.readline()
"""


@pytest.mark.usefixtures("client_here")
def test_runs_take_turns_on_a_gpu_and_not_on_another(server: PrefectServer, tmp_path: Path) -> None:
    asked = ["deploy", f"store.root={tmp_path}", "deployment.pool=here", "deployment.name=turns"]
    assert main([*asked, "runner.devices=[cuda:5,cuda:6]"]) == 0
    first = user(server, "cuda:5")
    assert said(first) == ["asks", "holds"]
    second = user(server, "cuda:5", "cuda:6")
    assert said(second, 1) == ["asks"]
    others = [user(server, "cuda:7"), user(server, "cpu")]
    assert [said(other) for other in others] == [["asks", "holds"]] * 2, "another GPU does not wait"
    time.sleep(2)
    assert second.stdout
    assert not select([second.stdout], [], [], 0)[0], "the GPU is taken"
    first.communicate(b"done\n")
    assert said(second, 1) == ["holds"]
    for process in (second, *others):
        process.communicate(b"done\n")
        assert process.returncode == 0


def user(server: PrefectServer, *devices: str) -> "subprocess.Popen[bytes]":
    """Holds the devices until it is sent a line; what it says is not read ahead."""
    pipe, command = subprocess.PIPE, [sys.executable, "-c", TURNS, *devices]
    return subprocess.Popen(command, env=server.environment, stdin=pipe, stdout=pipe, bufsize=0)


def said(process: "subprocess.Popen[bytes]", lines: int = 2) -> list[str]:
    assert process.stdout
    return [process.stdout.readline().decode().strip() for _ in range(lines)]
