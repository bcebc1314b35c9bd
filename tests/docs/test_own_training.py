"""docs/own-training.md, followed from an empty folder: its files are written and its commands run, in their order."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.wheels import built_wheel, installed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/own-training.md").read_text()
MOST_LINES = 10


def blocks() -> Iterator[tuple[str, str]]:
    """Yield the name of each file of the page and its text; of commands the name is empty."""
    for language, name, text in re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        assert language in ("python", "sh")
        assert (language == "python") == bool(name)
        yield name, text


def test_the_page_has_files_and_commands_that_can_be_read() -> None:
    names = [name for name, _ in blocks()]
    assert names == ["training.py", "compare.py", "", "identity.py", "", "mine.py", ""]
    for name, text in blocks():
        if name:
            ast.parse(text)


def test_the_comparison_takes_at_most_ten_lines() -> None:
    text = dict(blocks())["compare.py"]
    assert len([line for line in text.splitlines() if line.strip()]) <= MOST_LINES


def run(folder: Path, command: str, python: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command of the page in a folder; `modeldiff` and `python` are those of this or another environment."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PYTHONPATH"))},
        "MODELDIFF_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
    }
    if python is None:
        environment["PYTHONPATH"] = str(ROOT)
    program = str(python or sys.executable)
    words = command.split()
    start = [program] if words[0] == "python" else [program, "-m", "modeldiff"]
    return subprocess.run(
        [*start, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.fixture(params=["this environment", "nothing but the wheel"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The interpreter that follows the page: this one with the repository, or one that has the wheel alone."""
    if request.param == "this environment":
        return None
    place = tmp_path_factory.mktemp("wheel")
    return installed(built_wheel(place), place / "venv")


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_page_is_followed_from_an_empty_folder(python: Path | None, tmp_path: Path) -> None:
    said = {}
    for name, text in blocks():
        if name:
            (tmp_path / name).write_text(text)
            continue
        for command in text.splitlines():
            done = run(tmp_path, command, python)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            said[command] = done
    first = said["python compare.py"]
    assert "Trained on all cores" in first.stderr
    assert "train_adamw: " in first.stderr
    assert first.stdout.splitlines()[-1].startswith("Report: file://")
    assert (tmp_path / "runs").is_dir()
    assert "'train_adamw':" in said["python identity.py"].stdout
    assert "0 models to train" in said["modeldiff plan mine:study store.root=runs"].stdout
    assert "Report: " in said["modeldiff compare mine:study store.root=runs"].stdout
    assert "trainings/given.function-" in said["modeldiff clean store.root=runs"].stdout
    assert len(list(tmp_path.glob("runs/comparisons/*/summary.json"))) == 1
