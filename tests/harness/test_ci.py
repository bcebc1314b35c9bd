"""What CI runs: its time, its exit code, and the line that it prints last."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/run"
PASSED = "1470 passed, 8 skipped, 20 deselected in 480.12s (0:08:00)"
FAILED = "1 failed, 3 passed, 90 deselected in 61.00s (0:01:01)"


def ran(folder: Path, test: str, nightly: str) -> subprocess.CompletedProcess[str]:
    """Run the script beside a Makefile whose two targets are these shell commands."""
    (folder / ".ci").mkdir()
    shutil.copy(SCRIPT, folder / ".ci/run")
    (folder / "Makefile").write_text(f"test:\n\t@{test}\nnightly:\n\t@{nightly}\n")
    return subprocess.run([folder / ".ci/run"], capture_output=True, text=True, timeout=60)


def test_the_closing_line_of_make_test_comes_last_when_all_is_well(tmp_path: Path) -> None:
    done = ran(tmp_path, f"echo '{PASSED}'", "echo 'all of $(MINUTES)'; echo '4 passed in 3.00s'")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert {"all of 75", "all of 74"} & set(lines), "rounded down to minutes"
    assert lines[-1] == PASSED


def test_without_the_tests_there_is_no_nightly_run(tmp_path: Path) -> None:
    done = ran(tmp_path, f"echo '{FAILED}'; false", "echo 'nightly runs'")
    assert done.returncode != 0
    assert "nightly runs" not in done.stdout
    assert FAILED in done.stdout


@pytest.mark.parametrize("line", [FAILED, "2 passed, 1 error in 5.00s"])
def test_a_failure_at_night_is_told_and_the_tests_decide(tmp_path: Path, line: str) -> None:
    done = ran(tmp_path, f"echo '{PASSED}'", f"echo '{line}'; echo '4 passed in 3.00s'; false")
    assert done.returncode == 0
    assert re.search(rf"^make nightly failed \(\d+\): {re.escape(line)}$", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1] == PASSED


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck: docker/system-packages.sh test")
def test_the_script_is_linted() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
