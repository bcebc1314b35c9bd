"""Commands run as a user runs them: in processes of their own, on one private Prefect server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SMALL = (
    "study=digits_watermark",
    "dataset.n_train=300",
    "targets=100",
    "subsets.models=240",
    "subsets.evaluation_models=40",
    "subsets.shard_size=40",
    "ensemble.models=6",
    "ensemble.shard_size=3",
    "regression.n_lambdas=6",
    "comparison.components=4",
    "comparison.permutations=4",
)
"""A whole comparison in seconds; too few models to find much."""
TINY = (
    "study=digits_watermark", "transformation@transformations=digits_watermark", "dataset.n_train=200", "targets=40",
    "subsets.models=80", "subsets.evaluation_models=10", "subsets.shard_size=20", "ensemble.models=4",
    "ensemble.shard_size=2", "regression.n_lambdas=4", "comparison.components=2", "comparison.permutations=2",
    "algorithm_a.recipe.epochs=2", "algorithm_b.recipe.epochs=2", "runner.workers=2",
)  # fmt: skip
"""Twelve shards and the rest of a comparison in as little work as can be."""
ADAPTIVE = (
    "study=digits_watermark",
    "dataset.n_train=200",
    "targets=60",
    "subsets.models=400",
    "subsets.evaluation_models=20",
    "subsets.shard_size=20",
    "subsets.adaptive=true",
    "subsets.rounds.least_gain=0.5",
    "ensemble.models=4",
    "ensemble.shard_size=2",
    "regression.n_lambdas=6",
    "comparison.components=2",
    "comparison.permutations=0",
    "effects.max_images=20",
    "search.directions=0",
)
"""Rounds that end as soon as the law of the learning curve can be fitted."""


@dataclass(frozen=True)
class Commands:
    """Starts ``modeldiff`` with an environment of its own."""

    environment: dict[str, str]
    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=500)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def compare(self, root: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
        """A small comparison that must succeed."""
        done = self.run("compare", *SMALL, f"store.root={root}", *overrides)
        assert done.returncode == 0, done.stdout + done.stderr
        return done


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.05)


def kill_all(process: subprocess.Popen[str]) -> None:
    """kill -9 of a command and everything it started in its session."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Commands that share one private Prefect server, kept up by ``modeldiff ui``."""
    folder = tmp_path_factory.mktemp("commands")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "AWS_"))}
    environment |= {"MODELDIFF_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"}
    here = Commands(environment, folder)
    server = here.start("ui")
    assert server.stdout is not None
    line = server.stdout.readline()
    assert line.startswith("Prefect UI: http://127.0.0.1:"), server.communicate(timeout=10)
    yield Commands({**environment, "UI": line.split()[2]}, folder)
    kill_all(server)


def subset_shards(root: Path) -> dict[Path, int]:
    """Subset shards in a store, and when each was written."""
    return {p: p.stat().st_mtime_ns for p in root.glob("trainings/*/subsets/shards/*.safetensors")}


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
