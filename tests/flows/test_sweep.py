"""A sweep: a grid of comparisons under one parent run, each of them computed once."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.cli.grid import grid
from harness.commands import Commands
from harness.small_studies import UNTESTED
from modeldiff_core.errors import ConfigError


def test_a_grid_is_every_combination_and_values_keep_their_types() -> None:
    points = grid(
        ["study=digits_watermark", "+sweep.subsets.fraction=[0.3,0.5]", "+sweep.algorithm@algorithm_b=[mlp,cnn]",
         "+sweep.algorithm_a.name=['a, b']"]
    )  # fmt: skip
    assert len(points) == 4
    studies = [point.request.study for point in points]
    assert [study.subsets.fraction for study in studies] == [0.3, 0.3, 0.5, 0.5]
    assert {study.algorithm_a.name for study in studies} == {"a, b"}
    assert studies[0].algorithm_b.recipe != studies[1].algorithm_b.recipe
    assert points[0].words == "subsets.fraction=0.3 algorithm@algorithm_b=mlp algorithm_a.name=a\\,\\ b"


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ([], "sweep"),
        (["+sweep.subsets.fraction=0.3"], "sweep.subsets.fraction"),
        (["+sweep.subsets.fraction=[]"], "sweep.subsets.fraction"),
        (["+sweep.subsets.fraction=[0.3"], "sweep.subsets.fraction"),
        (["+sweep.subsets.fraction=[0.3,2]"], "subsets.fraction"),
        (["+sweep.runner.workers=[1,2]"], "sweep.runner.workers"),
        (["+sweep.subsets.seed=[" + ",".join(map(str, range(1001))) + "]"], "sweep"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(overrides: list[str], key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if len(overrides) == 1 and len(overrides[0]) > 100:
        monkeypatch.setattr("flows.cli.grid.request", lambda overrides: None)
    with pytest.raises(ConfigError) as raised:
        grid(overrides)
    assert raised.value.key == key


def test_a_point_whose_data_do_not_allow_it_is_named_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["sweep", f"store.root={tmp_path}", "+sweep.targets=[100,798]"]) == 2
    message = capsys.readouterr().err
    assert "targets: expected" in message
    assert "(at targets=798)" in message
    assert not list(tmp_path.glob("trainings"))


def ask(commands: Commands, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{commands.environment['UI']}/api/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_points_share_what_they_can_one_that_fails_stops_none_and_nothing_is_done_twice(
    commands: Commands, tmp_path: Path
) -> None:
    asked = ["sweep", *UNTESTED, "name=swept", f"store.root={tmp_path}"]
    rates = "+sweep.algorithm_b.recipe.learning_rate=[1e12,0.1]"
    first = commands.run(*asked, rates, "+sweep.comparison.components=[3]")
    assert first.returncode == 1
    assert "1 of 2 comparisons failed" in first.stderr
    assert "learning_rate=1000000000000.0 comparison.components=3" in first.stderr
    assert "Resume with: modeldiff sweep" in first.stderr
    assert len(list(tmp_path.glob("comparisons/*/report/index.html"))) == 1
    shards = {p: p.stat().st_mtime_ns for p in tmp_path.glob("trainings/*/*/shards/*.safetensors")}

    again = commands.run(*asked, "+sweep.algorithm_b.recipe.learning_rate=[0.1]", "+sweep.comparison.components=[3,4]")
    assert again.returncode == 0, again.stderr
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("trainings/*/*/shards/*.safetensors")} == shards
    assert again.stdout.count("Report: file://") == 2
    assert again.stdout.count("0 to train") == 1, "the first point was complete, and not run at all"

    runs = ask(commands, "flow_runs/filter", {"flow_runs": {"name": {"any_": ["sweep swept", "compare swept"]}}})
    children = [run for run in runs if run["name"] == "compare swept"]
    assert len(children) == 3
    assert all(run["parent_task_run_id"] for run in children)
    tables = ask(commands, "artifacts/filter", {"artifacts": {"key": {"any_": ["swept-sweep"]}}})
    rows = [json.loads(table["data"]) for table in tables]
    last = next(row for row in rows if len(row) == 2 and row[0]["status"] == "done before")
    assert last[1]["status"] == "done"
    assert all(row["findings"] and row["report"].endswith("index.html") for row in last)
