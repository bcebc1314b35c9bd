"""Folders that the workers of a session share."""

import multiprocessing
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.shared import made_once


def factory(base: Path) -> Any:
    return SimpleNamespace(getbasetemp=lambda: base)


def slowly(folder: Path) -> None:
    time.sleep(0.3)
    (folder / f"{os.getpid()}").touch()


def worker(base: str, number: int) -> None:
    os.environ["PYTEST_XDIST_WORKER"] = f"gw{number}"
    (Path(base) / f"popen-gw{number}").mkdir()
    made_once(factory(Path(base) / f"popen-gw{number}"), "one", slowly)


def test_one_of_several_workers_makes_it(tmp_path: Path) -> None:
    workers = [multiprocessing.get_context("fork").Process(target=worker, args=(str(tmp_path), i)) for i in range(3)]
    for process in workers:
        process.start()
    for process in workers:
        process.join(60)
    assert [process.exitcode for process in workers] == [0, 0, 0]
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
