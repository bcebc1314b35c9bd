"""Parts of the nightly run: their order, their time, what counts as a failure, and what is noted of each."""

import re
import signal
import time
from pathlib import Path

import pytest

from harness import nightly
from harness.nightly import FOLDER, PARTS, Part, main, row, run_parts

QUICK = Part("quick", ("-c", f"import sys; sys.exit(not {FOLDER!r}.startswith('/'))"), 1)
WRONG = Part("wrong", ("-c", "import sys; sys.exit(3)"), 1)
LONG = Part("long", ("-c", "import time; time.sleep(100)"), 5)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nightly, "GRACE", 5.0)
    monkeypatch.setattr(nightly, "LEAST", 0.2)


def results(parts: list[Part], seconds: float, log: Path) -> dict[str, str]:
    return {one.part: one.result for one in run_parts(parts, (seconds + nightly.GRACE) / 60, log)}


def test_parts_run_in_order_and_each_is_noted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "nightly.md"
    log.write_text("| head |\n")
    absent = Part("absent", ("-c", ""), 1, needs="harness.there_is_no_such_module")
    outcomes = run_parts([QUICK, WRONG, absent], 10, log)
    assert [one.part for one in outcomes] == ["quick", "wrong", "absent"]
    assert [one.result for one in outcomes] == [
        "passed",
        "failed: ended with 3",
        "not run: there is no harness.there_is_no_such_module",
    ]
    assert [one.failed for one in outcomes] == [False, True, False]
    head, *lines = log.read_text().splitlines()
    assert head == "| head |"
    assert re.fullmatch(r"\| \d{4}-\d\d-\d\d \| \w.+ \| quick \| passed \| \d+ \|", lines[0])
    assert lines[2].endswith("| absent | not run: there is no harness.there_is_no_such_module |  |")
    said = capfd.readouterr().out
    assert all(line in said for line in lines)
    assert row(outcomes[1], "abc") in [re.sub(r"(\| [\d-]+ \|) [^|]+ \|", r"\1 abc |", line) for line in lines]


def test_the_part_that_the_end_of_the_time_meets_has_not_failed_and_no_other_is_started(tmp_path: Path) -> None:
    began = time.monotonic()
    assert results([QUICK, LONG, QUICK, WRONG], 2.0, tmp_path / "log") == {
        "quick": "not run: the time was up",
        "long": "not run to its end",
        "wrong": "not run: the time was up",
    }
    assert time.monotonic() - began < 10
    assert "| quick | passed |" in (tmp_path / "log").read_text().splitlines()[0]


def test_a_part_over_its_own_limit_has_failed(tmp_path: Path) -> None:
    hasty = Part("hasty", LONG.arguments, 0.5 / 60)
    assert results([hasty, QUICK], 60, tmp_path / "log")["hasty"].startswith("failed: not done after ")


TESTS = """
import os, pathlib, time

def test_right(): pass
def test_wrong(): assert False
def test_later():
    told, end = pathlib.Path(os.environ["FAILURES"]), time.monotonic() + 60
    while not told.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert "test_wrong" in told.read_text()
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_failed_test_is_told_before_the_next_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    (tmp_path / "test_three.py").write_text(TESTS)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # this test may run in a worker, the part does not
    words = (
        "-m",
        "pytest",
        "-p",
        "harness.failures",
        "-p",
        "xdist",
        "-n",
        str(workers),
        "--noconftest",
        "--rootdir",
        str(tmp_path),
    )
    part = Part("three", (*words, "-c", "/dev/null", str(tmp_path)), 5)
    assert results([part], 300, tmp_path / "log") == {"three": "failed: test_three.py::test_wrong (call)"}


def test_a_failed_test_fails_its_part_though_the_time_ends_it(tmp_path: Path) -> None:
    failing = "import os, pathlib, time; pathlib.Path(os.environ['FAILURES']).write_text('a\\nb\\nc\\nd\\n')"
    part = Part("four", ("-c", f"{failing}; time.sleep(100)"), 5)
    assert results([part], 3.0, tmp_path / "log") == {"four": "failed: a, b, c and 1 more"}


def test_what_a_part_started_in_a_session_of_its_own_ends_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "ticks"
    ticking = f"import time, pathlib\nwhile True: pathlib.Path({str(mark)!r}).touch(); time.sleep(0.05)"
    start = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {ticking!r}], start_new_session=True)"
    )
    assert results([Part("two", ("-c", f"{start}; time.sleep(100)"), 5)], 3.0, tmp_path / "log")
    assert mark.exists()
    last = mark.stat().st_mtime_ns
    time.sleep(0.5)
    assert mark.stat().st_mtime_ns == last


def test_every_test_that_is_not_run_by_default_belongs_to_a_part() -> None:
    by_name = {part.name: part.arguments for part in PARTS}
    assert list(by_name) == ["core", "site", "flows", "truth", "clusters", "ui", "gpu", "drills", "operations"]
    for name in ("core", "site", "flows", "truth"):
        assert "nightly and not cluster and not ui" in by_name[name]
    assert {"tests", "--ignore=tests/flows", "--ignore=tests/docs"} < set(by_name["core"])
    assert "tests/docs" in by_name["site"]
    assert {"tests/flows", f"--ignore={nightly.TRUTH}"} < set(by_name["flows"])
    assert nightly.TRUTH in by_name["truth"]
    assert (nightly.ROOT / nightly.TRUTH).is_file()
    assert by_name["clusters"][-2:] == ("-m", "cluster")
    assert by_name["ui"][-2:] == ("-m", "ui")


def test_a_failed_part_is_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nightly, "PARTS", (QUICK, WRONG))
    log = ["--log", str(tmp_path / "log")]
    for only, code in ((["quick"], 0), (["quick", "wrong"], 1)):
        with pytest.raises(SystemExit) as ended:
            main([*log, "--only", *only])
        assert ended.value.code == code


def test_parts_can_be_interrupted_even_if_a_shell_started_all_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = "import signal, sys; sys.exit(signal.getsignal(signal.SIGINT) is not signal.default_int_handler)"
    monkeypatch.setattr(nightly, "PARTS", (Part("asks", ("-c", check), 1),))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as ended:
            main(["--log", str(tmp_path / "log")])
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 0
