"""Leagues on Prefect: a failed run is retried and makes what is missing, and a deployed league is run by a worker."""

from pathlib import Path

import pytest

from harness.commands import Commands
from harness.prefect_server import PrefectServer
from modeldiff_core.store import shard_key
from modeldiff_platform.flows.cli import main
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.resolve import experiment_of
from tests.flows.cli.deployments import completed
from tests.flows.cli.test_retry import runs
from tests.flows.test_league import SHARDS, SMALL, written

PAIRS = 6
SHARD_FILES = "trainings/*/*/shards/*.safetensors"


@pytest.mark.nightly
def test_a_failed_league_is_retried_and_makes_what_is_missing(commands: Commands, tmp_path: Path) -> None:
    asked = (*SMALL, "name=leagued")
    league = experiment_of(request(asked))
    shard = tmp_path / shard_key(league.pairs["erased", "plain"].comparison.trainings[0].subsets, 1)
    (shard / "folder").mkdir(parents=True)
    failed = commands.run("run", *asked, f"store.root={tmp_path}")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "Resume with: modeldiff run " in failed.stderr
    (before,) = runs(commands, "league leagued")
    assert (before["state_name"], before["run_count"]) == ("Failed", 1)
    kept = written(tmp_path)
    assert len([path for path in tmp_path.glob(SHARD_FILES) if path.is_file()]) == SHARDS - 1
    (shard / "folder").rmdir()
    shard.rmdir()

    done = commands.run("retry", "league leagued")
    assert done.returncode == 0, done.stdout + done.stderr
    after = written(tmp_path)
    assert kept.items() <= after.items(), "something was made twice"
    assert {path for path in after.keys() - kept.keys() if path.match(SHARD_FILES)} == {shard}
    assert len(list(tmp_path.glob("*/*/report/index.html"))) == 1 + PAIRS
    (ended,) = runs(commands, "league leagued")
    assert (ended["id"], ended["state_name"], ended["run_count"]) == (before["id"], "Completed", 2)
    refused = commands.run("retry", ended["id"])
    assert refused.returncode == 2
    assert "expected a run that failed, crashed or was cancelled" in refused.stderr


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("client_here", "worker")
def test_a_deployed_league_is_run_by_a_worker(server: PrefectServer, here: Commands, tmp_path: Path) -> None:
    asked = (*SMALL, f"store.root={tmp_path}")
    assert main(["deploy", *asked, "deployment.pool=here"]) == 0
    found = server.ask("deployments/name/league/digits_league")
    assert found["entrypoint"] == "modeldiff_platform.flows.experiment.league"
    assert found["parameters"]["study"]["algorithms"].keys() == {"again", "erased", "plain", "shifted"}
    assert {"league", "digits_league"} <= set(found["tags"])
    completed(server, here, found["id"], seconds=700)
    assert len(list(tmp_path.glob(SHARD_FILES))) == SHARDS
    assert len(list(tmp_path.glob("comparisons/*/report/index.html"))) == PAIRS
    assert len(list(tmp_path.glob("leagues/*/report/index.html"))) == 1
