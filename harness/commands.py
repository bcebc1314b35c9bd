"""The command line run as a user runs it: in processes of its own, each with an environment of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.small_studies import SMALL


@dataclass(frozen=True)
class Commands:
    """Starts ``modeldiff`` with an environment of its own."""

    environment: dict[str, str]
    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in a session of its own, with pipes for both of its outputs."""
        return subprocess.Popen(
            [sys.executable, "-m", "modeldiff_platform.flows.cli", *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, 500 seconds at most."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=500)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def compare(self, root: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
        """Run a small comparison that must succeed."""
        done = self.run("compare", *SMALL, f"store.root={root}", *overrides)
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@contextmanager
def commands_on_one_server(folder: Path) -> Iterator[Commands]:
    """Yield commands that share one private Prefect server, kept up by ``modeldiff ui``; folder: an empty one."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "AWS_"))}
    environment |= {"MODELDIFF_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"}
    here = Commands(environment, folder)
    server = here.start("ui")
    assert server.stdout is not None
    line = server.stdout.readline()
    assert line.startswith("Prefect UI: http://127.0.0.1:"), server.communicate(timeout=10)
    try:
        yield Commands({**environment, "UI": line.split()[2]}, folder)
    finally:
        kill_all(server)


class InProcess(Protocol):
    """Runs a command in this process, on the server that commands share."""

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]: ...


class Captured(Protocol):
    """What pytest's ``capsys`` has read of both outputs since it was asked last."""

    def readouterr(self) -> tuple[str, str]: ...


def run_here(captured: Captured, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which saves the seconds that an interpreter takes to import everything."""
    from modeldiff_platform.flows.cli import main

    captured.readouterr()
    code = main(list(arguments))
    out, err = captured.readouterr()
    return subprocess.CompletedProcess(arguments, code, out, err)


def wait_for(condition: Callable[[], bool], seconds: float, what: str, every: float = 0.05) -> None:
    """Wait until the condition, looked at after every so many seconds, holds; after `seconds` an assertion names it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(every)


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill a command and everything that it started in its session with SIGKILL."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def subset_shards(root: Path) -> dict[Path, int]:
    """Return the subset shards in a store, and when each was written (nanoseconds)."""
    return {p: p.stat().st_mtime_ns for p in root.glob("trainings/*/subsets/shards/*.safetensors")}
