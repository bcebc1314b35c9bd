"""The plugin that counts the processor's seconds: of a test, of what it waits for, and of what stays behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.commands import wait_for
from harness.cpu_seconds import MARK, Meter

TICKS = 0.03
"""The kernel counts whole hundredths of a second, those of the user and of the system apart."""
BURN = "import time\nwhile time.process_time() < {}: pass\n"


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    monkeypatch.setenv(MARK, "")
    return Meter()


def test_a_process_that_was_waited_for_counts_once(meter: Meter) -> None:
    subprocess.run([sys.executable, "-c", BURN.format(0.4)], check=True)
    assert 0.4 - TICKS <= meter.lap() < 2
    assert meter.lap() < 0.3


def test_a_process_that_has_left_the_family_counts_and_takes_nothing_away_when_it_is_killed(
    meter: Meter, tmp_path: Path
) -> None:
    done = tmp_path / "pid"
    stays = f"{BURN.format(0.5)}import os, pathlib\npathlib.Path({str(done)!r}).write_text(str(os.getpid()))\n"
    leaves = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {stays + 'time.sleep(300)'!r}])"
    subprocess.run([sys.executable, "-c", leaves], check=True, start_new_session=True)
    wait_for(lambda: done.exists() and bool(done.read_text()), 60, "half a second of the processor")
    try:
        assert 0.5 - TICKS <= meter.lap() < 3
    finally:
        os.kill(int(done.read_text()), signal.SIGKILL)
    assert meter.lap() >= 0


def test_the_heaviest_tests_and_files_are_listed(tmp_path: Path) -> None:
    child = f"subprocess.run([sys.executable, '-c', {BURN.format(1.2)!r}])"
    tests = f"import subprocess, sys\ndef test_light(): pass\ndef test_heavy(): {child}\n"
    (tmp_path / "test_two.py").write_text(tests)
    words = ["-p", "harness.cpu_seconds", "-p", "no:cacheprovider", "--noconftest", "-c", "/dev/null"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    listed = re.findall(r"^ +([\d.]+) (\S.*)$", done.stdout, re.MULTILINE)
    names = [name for _, name in listed]
    assert "test_two.py::test_heavy" in names
    assert "test_two.py::test_light" not in names
    seconds = {name: float(value) for value, name in listed}
    assert 1.2 <= seconds["test_two.py::test_heavy"] < 5
    assert seconds["test_two.py"] >= seconds["test_two.py::test_heavy"]
    assert seconds["in all"] >= seconds["test_two.py"]
