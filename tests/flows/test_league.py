"""A league on the command line: composed from its file, planned, run on Prefect, and looked at by every verb."""

from pathlib import Path

import pytest

from harness.commands import Commands
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.league.settings import LeagueStudy
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.cli.grid import grid

SMALL = (
    "study=digits_league",
    "dataset.n_train=200",
    "targets=30",
    "subsets.models=120",
    "subsets.evaluation_models=20",
    "subsets.shard_size=60",
    "ensemble.models=2",
    "ensemble.shard_size=2",
    "regression.estimator=ridge",
    "comparison.components=1",
    "comparison.draws=29",
    "comparison.significance=0.2",
    "search.directions=0",
)
SHARDS = 4 * (2 + 1)


def test_the_study_that_ships_is_composed_and_overridden_by_algorithm() -> None:
    asked = request(["study=digits_league", "algorithms.erased.recipe.epochs=3", "verdict.margin=0.05"])
    assert asked.kind == "league"
    study = asked.study
    assert isinstance(study, LeagueStudy)
    assert list(study.algorithms) == ["again", "erased", "plain", "shifted"]
    assert len(study.pairs) == 6
    assert study.algorithms["erased"].recipe["epochs"] == 3
    assert study.algorithms["plain"].recipe["epochs"] != 3
    assert {study.pair(*pair).verdict.margin for pair in study.pairs} == {0.05}
    assert len(study.transformations) == len(study.pair("erased", "plain").transformations) > 0


def test_a_league_is_swept_like_any_study() -> None:
    asked = grid(["study=digits_league", "+sweep.subsets.fraction=[0.3,0.5]"])
    assert [point.study["experiment"] for point in asked.study.points] == ["league"] * 2


def test_a_wrong_key_of_an_algorithm_is_named() -> None:
    with pytest.raises(ConfigError) as raised:
        request(["study=digits_league", "algorithms.erased.kind=7"])
    assert raised.value.key == "algorithms.erased.kind"


def written(root: Path) -> dict[Path, int]:
    """Return when each object of a store was written, but for what Prefect keeps of its runs."""
    files = (path for path in root.rglob("*") if path.is_file() and ".prefect" not in path.parts)
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.mark.nightly
def test_every_verb_works_and_nothing_is_trained_twice(commands: Commands, tmp_path: Path) -> None:
    asked = (*SMALL, f"store.root={tmp_path}")
    planned = commands.run("plan", *asked)
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.count("120 models to train") == 4
    done = commands.run("compare", *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none was trained twice" in done.stdout
    assert done.stdout.count("report/index.html") == 1 + 6
    assert len(list(tmp_path.glob("trainings/*/*/shards/*.safetensors"))) == SHARDS
    before = written(tmp_path)
    again = commands.run("run", *asked)
    assert again.returncode == 0, again.stdout + again.stderr
    assert written(tmp_path) == before
    for verb in ("status", "report", "verify"):
        looked = commands.run(verb, *asked)
        assert looked.returncode == 0, f"{verb}: {looked.stdout}{looked.stderr}"
    alone = commands.run("clean", f"store.root={tmp_path}")
    assert "leagues/digits_league-" in alone.stdout
    assert "needed by no finished study" not in alone.stdout
