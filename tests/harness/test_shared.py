"""Folders that the workers of a session share."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.shared import made_once


def factory(base: Path) -> Any:
    return SimpleNamespace(getbasetemp=lambda: base)


WORKER = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace
from harness.shared import made_once

def slowly(folder):
    time.sleep(0.3)
    (folder / str(os.getpid())).touch()

base = Path(sys.argv[1]) / f"popen-{os.environ['PYTEST_XDIST_WORKER']}"
base.mkdir()
made_once(SimpleNamespace(getbasetemp=lambda: base), "one", slowly)
"""


def test_one_of_several_workers_makes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    root = str(Path(__file__).parents[2])
    surroundings = ({**os.environ, "PYTHONPATH": root, "PYTEST_XDIST_WORKER": f"gw{number}"} for number in range(3))
    workers = [subprocess.Popen(command, env=environment) for environment in surroundings]
    assert [process.wait(60) for process in workers] == [0, 0, 0]
    assert len(list((tmp_path / "shared/one").iterdir())) == 1


def test_what_failed_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("halfway")

    with pytest.raises(OSError, match="halfway"):
        made_once(factory(tmp_path), "two", fail)
    made = made_once(factory(tmp_path), "two", lambda folder: (folder / "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]
    assert made_once(factory(tmp_path), "two", fail) == made
