"""Component attribution by the command line: the shipped study, made small, through every verb."""

import shutil
from pathlib import Path

import pytest

from harness.commands import Commands, kill_all, wait_for
from harness.own_experiments import content

SMALL = (
    "study=components_digits",
    "dataset.n_train=300",
    "dataset.n_test=60",
    "algorithm.recipe.network.widths=[6,10]",
    "algorithm.recipe.epochs=6",
    "ensemble.shard_size=1",
    "attributed=24",
    "ablation.rows=100",
    "ablation.tests=[0.1,0.2]",
    "ablation.test_rows=40",
    "ablation.shard_size=40",
    "runner.workers=1",
)


def results(root: Path) -> dict[str, object]:
    """Everything but what Prefect keeps of its task runs, and how fast `plan` found this machine."""
    found = {key: value for key, value in content(root).items() if not key.startswith(".prefect/")}
    return {key: value for key, value in found.items() if "/probes/" not in key}


@pytest.mark.nightly
def test_the_shipped_study_runs_and_every_verb_reads_it(commands: Commands, tmp_path: Path) -> None:
    asked = (*SMALL, f"store.root={tmp_path}")
    done = commands.run("run", *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of the 16 components correlate with" in done.stdout
    assert "Report: " in done.stdout
    checked = commands.run("verify", *asked)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.nightly
def test_a_killed_run_is_planned_resumed_reported_and_swept(commands: Commands, tmp_path: Path) -> None:
    asked = (*SMALL, f"store.root={tmp_path / 'store'}")
    planned = commands.run("plan", *asked)
    assert planned.returncode == 0, planned.stderr
    assert "components: 16 (conv0 (filter) 6, conv1 (filter) 10)" in planned.stdout
    assert "network 0: ablations: 0 of 3 shards done, 120 rows to make" in planned.stdout
    process = commands.start("run", *asked)
    shards = tmp_path / "store/responses"
    wait_for(lambda: len(list(shards.glob("components_*/shards/*.safetensors"))) >= 2, 120, "two shards")
    kill_all(process)
    status = commands.run("status", *asked)
    assert "missing report" in status.stdout
    assert commands.run("report", *asked).returncode == 1
    resumed = commands.run("run", *asked)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    repaired = commands.run("verify", *asked, "--repair")  # a write that was killed leaves its temporary file
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert all(line.endswith(".part") for line in repaired.stdout.splitlines() if line.startswith("removed"))
    again = (*SMALL, f"store.root={tmp_path / 'again'}")
    assert commands.run("run", *again).returncode == 0
    assert results(tmp_path / "store") == results(tmp_path / "again")
    shutil.rmtree(tmp_path / "again")
    assert commands.run("report", *asked).returncode == 0
    swept = commands.run("sweep", *asked, "+sweep.ablation.fill=[zero,mean]")
    assert swept.returncode == 0, swept.stdout + swept.stderr
    assert "ablation.fill=mean" in swept.stdout


@pytest.mark.nightly
def test_a_pattern_that_matches_nothing_is_refused_by_its_key(commands: Commands, tmp_path: Path) -> None:
    wrong = commands.run("plan", *SMALL, f"store.root={tmp_path}", "components=[{kind: filters, pattern: layer4}]")
    assert wrong.returncode == 2
    assert "components.0.pattern: expected a pattern that matches a module that has filters" in wrong.stderr
    assert content(tmp_path) == {}
