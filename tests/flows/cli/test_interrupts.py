"""Ctrl-C, once and twice, on a real terminal; and that nothing of it, or of anything else, is told to anybody else."""

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from harness.commands import Commands, subset_shards, wait_for
from harness.small_studies import TINY

INTERRUPTED = "modeldiff: interrupted; the same command goes on where it stopped"
CI = ("CI", "GITHUB_ACTIONS", "BUILDKITE", "JENKINS_URL", "TRAVIS")
"""Variables that would keep Prefect from sending usage data, whatever we do."""


class Listener:
    """A proxy that only counts who asks it for anything."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening, self.asked = listening, list[bytes]()
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        names = "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"
        return {name: self.url for upper in names for name in (upper, upper.lower())}

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listening.accept()
                with connection:
                    connection.settimeout(5)
                    self.asked.append(connection.recv(1000))


@contextmanager
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Listener(listening)


class Terminal:
    """A command on a terminal of its own, as its session's leader; what it shows, and a keyboard."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.shown, self.keyboard = b"", -1
        self.keyboard, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "modeldiff", *command],
            env=environment,
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            # a leader of a session that opens a terminal gets it as its own, with its Ctrl-C
            preexec_fn=lambda: os.close(os.open(os.ttyname(theirs), os.O_RDWR)),
        )
        os.close(theirs)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # a terminal that nobody has open any more
            while part := os.read(self.keyboard, 1 << 16):
                self.shown += part

    def press_ctrl_c(self) -> None:
        os.write(self.keyboard, b"\x03")

    def ended(self, seconds: float) -> str:
        """Return what was shown until the end, which comes within so many seconds."""
        self.process.wait(seconds)
        self.reader.join(10)
        os.close(self.keyboard)
        return self.shown.decode()


def test_what_would_phone_home_would_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as heard:
        for name, value in heard.environment.items():
            monkeypatch.setenv(name, value)
        for name in "NO_PROXY", "no_proxy":
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(httpx.HTTPError):
            httpx.post("https://example.org/", json={})
        assert heard.asked[0].startswith(b"CONNECT example.org:443")


@pytest.mark.nightly
def test_ctrl_c_once_and_twice_end_a_run_soon_and_nothing_phones_home(commands: Commands, tmp_path: Path) -> None:
    """Both at the same time: one on the server that commands share, the other with a server of its own."""
    environment = {name: value for name, value in commands.environment.items() if name not in CI}
    with listener() as heard:
        environment |= {**heard.environment, "TERM": "xterm", "COLUMNS": "60"}
        own = {**environment, "MODELDIFF_HOME": str(tmp_path / "home")}
        roots = [tmp_path / name for name in ("once", "twice")]
        arguments = [["compare", *TINY, "subsets.models=400", f"store.root={root}"] for root in roots]
        once, twice = (Terminal(*given, tmp_path) for given in zip(arguments, (environment, own), strict=True))
        try:
            wait_for(lambda: subset_shards(roots[0]) and b"training" in twice.shown, 400, "the training of both")
            workers = [child for one in (once, twice) for child in psutil.Process(one.process.pid).children(True)]
            assert len(workers) > 2
            for one in once, twice:
                one.press_ctrl_c()
            time.sleep(0.3)
            twice.press_ctrl_c()
            began = time.monotonic()
            shown = [twice.ended(60)]
            took = time.monotonic() - began
            shown.append(once.ended(120))
        finally:
            for one in once, twice:
                with suppress(ProcessLookupError):
                    os.killpg(one.process.pid, signal.SIGKILL)
        assert took < 15, "the second one waits for nothing; this machine may be busy"
        assert [one.process.returncode for one in (once, twice)] == [1, 1]
        for words in shown:
            assert "/" in words.split("training", 1)[1][:200], "its numbers, at sixty columns"
            assert INTERRUPTED in words
            for never in ("Traceback", "Crash", "telemetry", "leaked", "Error"):
                assert never not in words, words
        ours = [child for child in workers if "supervisor" not in " ".join(_command(child))]
        _, alive = psutil.wait_procs(ours, 30)
        assert alive == []
        assert heard.asked == []


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []
