"""``modeldiff retry`` of runs of the command line: here, under their own name, and only what the store lacks."""

import json
import re
import shlex
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.commands import Commands, InProcess
from harness.small_studies import UNTESTED
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.store import shard_key
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.resolve import experiment_of

NAMED = (*UNTESTED, "name=repeated")
FILES = "trainings/*/*/shards/*.safetensors"
SHARDS = 2 * (4 + 2)
EARLIER = json.loads((Path(__file__).parents[1] / "earlier.json").read_text())
"""Parameters of the flow ``compare`` as an earlier version gave them for TINY."""


def send(commands: Commands, path: str, body: object) -> Any:
    asked = urllib.request.Request(
        f"{commands.environment['UI']}/api/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return json.load(answer)


def runs(commands: Commands, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = send(commands, "flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}})
    return found


def put_failed(commands: Commands, kind: str, parameters: dict[str, Any]) -> str:
    """Return the id of a failed run as an earlier version left it."""
    flow = send(commands, "flows/", {"name": kind})["id"]
    state = {"type": "FAILED", "name": "Failed"}
    body = {"flow_id": flow, "name": f"{kind} of before", "parameters": parameters, "state": state}
    return str(send(commands, "flow_runs/", body)["id"])


def is_result(path: Path) -> bool:
    return path.is_file() and ".prefect" not in path.parts


def test_a_comparison_is_retried_under_its_own_name_and_trains_what_is_missing(
    commands: Commands, in_process: InProcess, tmp_path: Path
) -> None:
    a, _ = Comparison.of(request(NAMED).study).trainings
    in_the_way = tmp_path / shard_key(a.subsets, 1)
    (in_the_way / "folder").mkdir(parents=True)
    assert in_process("compare", *NAMED, f"store.root={tmp_path}").returncode == 1
    (failed,) = runs(commands, "compare repeated")
    assert (failed["state_name"], failed["run_count"]) == ("Failed", 1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob(FILES) if path.is_file()}
    assert before
    (in_the_way / "folder").rmdir()
    in_the_way.rmdir()

    done = in_process("retry", "compare repeated")
    assert done.returncode == 0, done.stderr
    assert "1 to train" in done.stdout
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob(FILES)}
    assert after.keys() - before.keys() == {in_the_way}
    assert after.items() > before.items()
    (completed,) = runs(commands, "compare repeated")
    assert (completed["id"], completed["state_name"], completed["run_count"]) == (failed["id"], "Completed", 2)

    refused = in_process("retry", failed["id"])
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
    assert re.search(r"1 tasks failed; .*:\n  summary of swept_again \(comparison.components=1\): ", failed.stderr)
    (page,) = tmp_path.glob("comparisons/swept_again-*/report/index.html")
    before = page.stat().st_mtime_ns
    (in_the_way / "folder").rmdir()
    in_the_way.rmdir()

    done = commands.run("retry", "sweep swept_again")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Report: file://") == 2
    (swept,) = runs(commands, "sweep swept_again")
    assert (swept["state_name"], swept["run_count"]) == ("Completed", 2)
    assert not runs(commands, "compare swept_again"), "points are no runs of their own"
    assert page.stat().st_mtime_ns == before, "the first point was complete"
    assert len(list(tmp_path.glob("comparisons/swept_again-*/report/index.html"))) == 2

    study = {**EARLIER["study"], "name": "swept_again", "transformations": []}
    study["search"] = {**study["search"], "directions": 0}
    points = [
        [f"comparison.components={n}", {**study, "comparison": {**study["comparison"], "components": n}}]
        for n in (2, 1)
    ]
    whole = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if is_result(path)}
    common = {"store": {**EARLIER["store"], "root": str(tmp_path)}, "runner": EARLIER["runner"]}
    for kind, own in (("sweep", {"name": "swept_again", "points": points}), ("compare", {"study": points[0][1]})):
        run = put_failed(commands, kind, {**own, **common})
        done = commands.run("retry", run)
        assert done.returncode == 0, done.stderr
        assert f"{SHARDS} of {SHARDS} shards done before, 0 to train" in done.stdout
        assert done.stdout.count("Report: file://") == (2 if kind == "sweep" else 0)
        (ended,) = send(commands, "flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        assert (ended["state_name"], ended["run_count"]) == ("Completed", 1)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if is_result(path)}
    assert {path: when for path, when in after.items() if path in whole} == whole
    assert {path.name for path in after.keys() - whole.keys()} <= {"summary.json"}


@contextmanager
def blocked(path: Path) -> Iterator[None]:
    """A folder stands where an object should be written."""
    (path / "folder").mkdir(parents=True)
    yield
    (path / "folder").rmdir()
    path.rmdir()


@pytest.mark.nightly
def test_a_check_and_an_adopted_comparison_are_retried_and_swept(commands: Commands, tmp_path: Path) -> None:
    place = f"store.root={tmp_path}"
    checks = ("counterfactual.targets=3", "counterfactual.top_k=5", "counterfactual.models=4")
    check = (*UNTESTED, "name=checked_again", *checks, place)
    retried_and_swept(commands, "counterfactual", check, "+sweep.counterfactual.top_k=[5,10]")
    keys = [str(path.relative_to(tmp_path).with_suffix("")) for path in tmp_path.glob("trainings/*/margins-*.json")]
    settings = (
        "evaluation_models=10",
        "regression.n_lambdas=4",
        "comparison.components=2",
        "comparison.permutations=2",
    )
    sides = (f"{side}={key}" for side, key in zip("ab", keys, strict=True))
    adopted = (*sides, "name=adopted_again", *settings, place)
    retried_and_swept(commands, "compare_adopted", adopted, "+sweep.comparison.components=[2,1]")


def retried_and_swept(commands: Commands, kind: str, asked: tuple[str, ...], axis: str) -> None:
    """Let an experiment fail at its summary, retry it, and sweep it with another point."""
    experiment, verb = experiment_of(request(asked, kind)), kind.replace("_", "-")
    summary = Path(asked[-1].partition("=")[2]) / experiment.summary.record
    run = f"{kind} {experiment.name}"
    with blocked(summary):
        failed = commands.run(verb, *asked)
        assert failed.returncode == 1, failed.stdout + failed.stderr
        assert failed.stderr.endswith(f"Resume with: modeldiff {verb} {shlex.join(asked)}\n")
    (before,) = runs(commands, run)
    done = commands.run("retry", run)
    assert done.returncode == 0, done.stderr
    (after,) = runs(commands, run)
    assert (after["id"], after["state_name"], after["run_count"]) == (before["id"], "Completed", 2)
    written = summary.stat().st_mtime_ns
    swept = commands.run("sweep", f"experiment={kind}", *asked, axis)
    assert swept.returncode == 0, swept.stderr
    assert swept.stdout.count(" Report: file://") == 2
    assert summary.stat().st_mtime_ns == written, "the first point was complete"
    assert [one["state_name"] for one in runs(commands, f"sweep {experiment.name}")] == ["Completed"]
    assert len(runs(commands, run)) == 1, "points are no runs of their own"
