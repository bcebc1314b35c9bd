"""Commands on one private Prefect server, and stores that several tests start from."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from harness.commands import (
    Commands,
    InProcess,
    commands_on_one_server,
    kill_all,
    run_here,
    subset_shards,
    wait_for,
)
from harness.shared import made_once
from harness.small_studies import ADAPTIVE


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Commands that share one private Prefect server, kept up by ``modeldiff ui``."""
    with commands_on_one_server(tmp_path_factory.mktemp("commands")) as commands:
        yield commands


@pytest.fixture
def in_process(commands: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> InProcess:
    """Runs of this process are recorded by the server that commands share; it has imported everything already."""
    monkeypatch.setenv("MODELDIFF_HOME", commands.environment["MODELDIFF_HOME"])
    return partial(run_here, capsys)


@dataclass(frozen=True)
class FinishedRun:
    """A store after SMALL was compared, what the command printed, and the UI of its server; nobody writes to it."""

    root: Path
    out: str
    ui: str

    def copied(self, root: Path) -> Path:
        """Copy the store to a folder, times included, for a test that writes to it; returns that folder."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return root


@pytest.fixture(scope="session")
def finished_run(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Made once for all workers of the session."""

    def make(folder: Path) -> None:
        (folder / "out.txt").write_text(commands.compare(folder / "store").stdout)
        (folder / "ui.txt").write_text(commands.environment["UI"])

    folder = made_once(tmp_path_factory, "finished-run", make)
    return FinishedRun(folder / "store", (folder / "out.txt").read_text(), (folder / "ui.txt").read_text())


@dataclass(frozen=True)
class AdaptiveRun:
    """A store in which an adaptive study ended. killed: its shards when a first run was killed. out: of the last."""

    root: Path
    killed: dict[Path, int]
    out: str


@pytest.fixture(scope="session")
def adaptive(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> AdaptiveRun:
    """ADAPTIVE after a kill -9 in training and a second run; made once for all workers of the session."""

    def make(folder: Path) -> None:
        root = folder / "store"
        process = commands.start("compare", *ADAPTIVE, f"store.root={root}")
        wait_for(lambda: len(subset_shards(root)) >= 3, 120, "a shard")
        kill_all(process)
        killed = {str(path.relative_to(root)): when for path, when in subset_shards(root).items()}
        (folder / "killed.json").write_text(json.dumps(killed))
        done = commands.run("compare", *ADAPTIVE, f"store.root={root}")
        assert done.returncode == 0, done.stdout + done.stderr
        (folder / "out.txt").write_text(done.stdout)

    folder = made_once(tmp_path_factory, "adaptive-run", make)
    killed = json.loads((folder / "killed.json").read_text())
    root = folder / "store"
    return AdaptiveRun(root, {root / name: when for name, when in killed.items()}, (folder / "out.txt").read_text())
