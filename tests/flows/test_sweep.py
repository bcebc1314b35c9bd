"""A sweep: a grid of experiments as one run, each result of them computed once."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from harness.commands import Commands, InProcess
from harness.small_studies import UNTESTED
from modeldiff_core.errors import ConfigError
from modeldiff_core.study import parse_study
from modeldiff_platform.flows.cli import main
from modeldiff_platform.flows.cli.grid import grid


def test_a_grid_is_every_combination_and_values_keep_their_types() -> None:
    asked = grid(
        [
            "study=digits_watermark",
            "comparison=residual",
            "+sweep.subsets.fraction=[0.3,0.5]",
            "+sweep.algorithm@algorithm_b=[mlp,cnn]",
            "+sweep.algorithm_a.name=['a, b']",
        ]
    )
    points = asked.study.points
    assert (asked.kind, len(points)) == ("sweep", 4)
    studies = [parse_study(point.study) for point in points]
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
        monkeypatch.setattr("modeldiff_platform.flows.cli.grid.request", lambda overrides: None)
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


SHARDS = 2 * (4 + 2)


def written(root: Path, pattern: str) -> dict[Path, int]:
    """Return when each file that matches was written."""
    return {path: path.stat().st_mtime_ns for path in root.glob(pattern) if path.is_file()}


def ask(commands: Commands, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{commands.environment['UI']}/api/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_points_share_what_they_can_one_that_fails_stops_none_and_nothing_is_done_twice(
    commands: Commands, in_process: InProcess, tmp_path: Path
) -> None:
    asked = ["sweep", *UNTESTED, "name=swept", f"store.root={tmp_path}"]
    rates = "+sweep.algorithm_b.recipe.learning_rate=[1e12,0.1]"
    first = in_process(*asked, rates, "+sweep.comparison.components=[3]")
    assert first.returncode == 1
    told = re.findall(r"^  swept corner erased (\w+ shard \d+) \((.*)\): Diverged: ", first.stderr, re.MULTILINE)
    failed = set(told)
    assert len(failed) == SHARDS // 2, "only those of the rate that is too large"
    assert {words for _, words in failed} == {
        "algorithm_b.recipe.learning_rate=1000000000000.0 comparison.components=3"
    }
    assert "Resume with: modeldiff sweep" in first.stderr
    assert len(list(tmp_path.glob("comparisons/*/report/index.html"))) == 1
    before = written(tmp_path, "trainings/*/*/shards/*.safetensors")
    assert len(before) == SHARDS, "A's, which both points share, and those of the other B"
    (folder,) = tmp_path.glob("comparisons/swept-*")
    found = written(folder, "**/*")

    again = in_process(*asked, "+sweep.algorithm_b.recipe.learning_rate=[0.1]", "+sweep.comparison.components=[3,4]")
    assert again.returncode == 0, again.stderr
    assert written(tmp_path, "trainings/*/*/shards/*.safetensors") == before
    assert again.stdout.count("Report: file://") == 2
    assert f"{SHARDS} of {SHARDS} shards done before, 0 to train" in again.stdout
    assert written(folder, "**/*") == found, "the first point was complete, and nothing of it was made again"

    runs = ask(commands, "flow_runs/filter", {"flow_runs": {"name": {"any_": ["sweep swept", "compare swept"]}}})
    assert [run["name"] for run in runs] == ["sweep swept"] * 2
    assert {run["state_name"] for run in runs} == {"Completed", "Failed"}
    tables = ask(commands, "artifacts/filter", {"artifacts": {"key": {"any_": ["swept-sweep"]}}})
    rows = [json.loads(table["data"]) for table in tables]
    assert len(rows) == 2
    last = next(row for row in rows if [point["status"] for point in row] == ["done", "done"])
    assert all(row["findings"] and row["report"].endswith("index.html") for row in last)
    part = next(row for row in rows if row != last)
    assert re.fullmatch(r"\d+ results missing", part[0]["status"])
    assert part[1]["status"] == "done", "what was found of it is shown although the other point failed"
