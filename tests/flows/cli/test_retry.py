"""``modeldiff retry`` of runs of the command line: here, under their own name, and only what the store lacks."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from flows.cli.compose import request
from harness.commands import Commands
from harness.small_studies import UNTESTED
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.store import shard_key

NAMED = (*UNTESTED, "name=repeated")
SHARDS = "trainings/*/*/shards/*.safetensors"


def runs(commands: Commands, name: str) -> list[dict[str, Any]]:
    body = json.dumps({"flow_runs": {"name": {"any_": [name]}}}).encode()
    asked = urllib.request.Request(
        f"{commands.environment['UI']}/api/flow_runs/filter", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


def test_a_comparison_is_retried_under_its_own_name_and_trains_what_is_missing(
    commands: Commands, tmp_path: Path
) -> None:
    a, _ = Comparison.of(request(NAMED).study).trainings
    in_the_way = tmp_path / shard_key(a.subsets, 1)
    (in_the_way / "folder").mkdir(parents=True)
    assert commands.run("compare", *NAMED, f"store.root={tmp_path}").returncode == 1
    (failed,) = runs(commands, "compare repeated")
    assert (failed["state_name"], failed["run_count"]) == ("Failed", 1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob(SHARDS) if path.is_file()}
    assert before
    (in_the_way / "folder").rmdir()
    in_the_way.rmdir()

    done = commands.run("retry", "compare repeated")
    assert done.returncode == 0, done.stderr
    assert "1 to train" in done.stdout
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob(SHARDS)}
    assert after.keys() - before.keys() == {in_the_way}
    assert after.items() > before.items()
    (completed,) = runs(commands, "compare repeated")
    assert (completed["id"], completed["state_name"], completed["run_count"]) == (failed["id"], "Completed", 2)

    refused = commands.run("retry", failed["id"])
    assert refused.returncode == 2
    assert "expected a run that failed, crashed or was cancelled, got 'compare repeated (Completed)'" in refused.stderr


@pytest.mark.nightly
def test_a_sweep_is_retried_and_runs_the_points_that_failed(commands: Commands, tmp_path: Path) -> None:
    asked = (*UNTESTED, "name=swept_again")
    more = (*asked, "comparison.components=1")
    in_the_way = tmp_path / Comparison.of(request(more).study).summary.record
    (in_the_way / "folder").mkdir(parents=True)
    failed = commands.run("sweep", *asked, f"store.root={tmp_path}", "+sweep.comparison.components=[2,1]")
    assert failed.returncode == 1
    assert "1 of 2 comparisons failed:\n  comparison.components=1" in failed.stderr
    (in_the_way / "folder").rmdir()
    in_the_way.rmdir()

    done = commands.run("retry", "sweep swept_again")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Report: file://") == 2
    (swept,) = runs(commands, "sweep swept_again")
    assert (swept["state_name"], swept["run_count"]) == ("Completed", 2)
    assert len(runs(commands, "compare swept_again")) == 1 + 2, "the first point once, and the second one twice"
