"""Commands on one private Prefect server, and stores that several tests start from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.commands import Commands, commands_on_one_server, kill_all, subset_shards, wait_for
from harness.small_studies import ADAPTIVE


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Commands that share one private Prefect server, kept up by ``modeldiff ui``."""
    with commands_on_one_server(tmp_path_factory.mktemp("commands")) as commands:
        yield commands


@dataclass(frozen=True)
class AdaptiveRun:
    """A store in which an adaptive study ended. killed: its shards when a first run was killed. out: of the last."""

    root: Path
    killed: dict[Path, int]
    out: str


@pytest.fixture(scope="session")
def adaptive(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> AdaptiveRun:
    """ADAPTIVE after a kill -9 in training and a second run."""
    root = tmp_path_factory.mktemp("adaptive")
    process = commands.start("compare", *ADAPTIVE, f"store.root={root}")
    wait_for(lambda: len(subset_shards(root)) >= 3, 120, "a shard")
    kill_all(process)
    killed = subset_shards(root)
    done = commands.run("compare", *ADAPTIVE, f"store.root={root}")
    assert done.returncode == 0, done.stdout + done.stderr
    return AdaptiveRun(root, killed, done.stdout)
