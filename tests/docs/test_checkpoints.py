"""docs/checkpoints.md, followed from an empty folder: its files are written and its code and commands run."""

import ast
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/checkpoints.md").read_text()


def blocks() -> Iterator[tuple[str, str]]:
    """Yield the name of each file of the page and its text; of commands the name is empty."""
    for language, name, text in re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        assert (language == "sh") == (not name)
        yield name, text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all files of the page."""
    for name, text in blocks():
        if name:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            assert path.suffix != ".py" or ast.parse(text)
    return tmp_path


def test_the_page_has_its_files_and_commands() -> None:
    names = [name for name, _ in blocks()]
    assert names == ["net.py", "make.py", "compare.py", "", "conf/study/my_study.yaml", ""]


def test_its_python_code_runs_in_order_and_ends_with_a_report(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for name in ("make.py", "compare.py"):
        runpy.run_path(name)
    sys.modules.pop("net")
    said = capsys.readouterr().out
    assert "10 checkpoints of each, 512 patterns of exchanges" in said
    assert "Report: file://" in said.splitlines()[-1]
    assert len(list(folder.glob("runs/checkpoints/attributions/*"))) == 20


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_its_commands_are_followed(folder: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "MODELDIFF_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    commands = [line for name, text in blocks() if not name for line in text.splitlines()]
    assert [command.split()[1] for command in commands[2:]] == ["plan", "run", "status", "report", "verify"]
    for command in commands:
        words = command.split()
        start = [sys.executable] if words[0] == "python" else [sys.executable, "-m", "modeldiff"]
        done = subprocess.run(
            [*start, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert len(list(folder.glob("runs/checkpoints/my_study-*/summary.json"))) == 1
