"""Studies of mixtures of experts as they ship: valid, planned with their cost, and the smoke study by every verb."""

import re
from pathlib import Path
from typing import Any

import pytest

from harness.commands import Commands, kill_all, wait_for
from harness.own_experiments import content
from modeldiff_core.experiments.moe_grid.experiment import Scaling
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import NoProgress, survey, verify
from modeldiff_core.training.moe import parameters
from modeldiff_platform.flows.cli.compose import composed


def study(name: str) -> dict[str, Any]:
    return {key: value for key, value in composed([f"study={name}"]).items() if key not in ("store", "runner")}


def opened(name: str, root: Path) -> Scaling:
    experiment, _ = open_experiment(study(name), root)
    assert isinstance(experiment, Scaling)
    return experiment


def test_the_small_study_has_the_runs_that_it_says(tmp_path: Path) -> None:
    experiment = opened("moe_small", tmp_path)
    cells = experiment.cells.all
    assert len(cells) * experiment.study.seeds == 288
    sizes = {parameters(cell.network) for cell in cells}
    assert len(sizes) == 4
    assert 8_000 < min(sizes) < 10_000
    assert 50_000 < max(sizes) < 60_000
    assert experiment.rule is not None
    tuned = {(one.network, one.budget) for one in experiment.rule.trainings}
    assert len(tuned) in range(12, 25)
    for cell in cells:
        one = cell.training(0.01, 0)
        assert 200 < one.steps < 7000
        assert one.flops == pytest.approx(cell.budget, rel=0.01)


def test_all_of_the_small_study_is_predicted_before_its_learning_rates_are_known(tmp_path: Path) -> None:
    experiment, store = open_experiment(study("moe_small"), tmp_path)
    found = survey(experiment, store)
    assert found.later.keys() == found.awaits.keys() >= {"training"}
    (line,) = experiment.advice(store)
    told = re.search(r"about ([\d.]+) hours of one CPU core", line)
    assert told is not None
    assert found.seconds / 3600 == pytest.approx(float(told[1]), rel=0.05)
    assert found.seconds > 3 * sum(step.cost.seconds for step in found.missing)


def test_the_study_of_the_paper_is_planned_with_its_cost(tmp_path: Path) -> None:
    experiment = opened("moe_paper", tmp_path)
    sizes = sorted({parameters(cell.network) for cell in experiment.cells.all})
    assert 5e7 < sizes[0] < 1.2e8
    assert 1.5e10 < sizes[-1] < 2.5e10
    assert {round(cell.network.sparsity, 2) for cell in experiment.cells.all} == {0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98}
    assert "the text is not on this machine" in experiment.check()[0]
    _, store = open_experiment(study("moe_paper"), tmp_path)
    (line,) = experiment.advice(store)
    assert line.startswith("1050 runs of 350 cells")
    assert "GPU-hours" in line


def test_the_smoke_study_runs_and_says_what_it_found(tmp_path: Path) -> None:
    shown = run_study(study("moe_smoke"), tmp_path, progress=NoProgress())
    assert "12 learning rates were cut early" in shown.findings[0]
    assert sum("the lowest loss" in line for line in shown.findings) == 4
    assert verify(*open_experiment(study("moe_smoke"), tmp_path)) == ()


def results(root: Path) -> dict[str, object]:
    """Everything but what Prefect keeps of its task runs, and what a kill cut short while it was written."""
    kept = {key: value for key, value in content(root).items() if not key.startswith(".prefect/")}
    return {key: value for key, value in kept.items() if not key.endswith(".part")}


@pytest.mark.nightly
def test_the_smoke_study_is_planned_killed_resumed_reported_and_verified(commands: Commands, tmp_path: Path) -> None:
    asked = ("study=moe_smoke", "runner.workers=1", f"store.root={tmp_path / 'store'}")
    planned = commands.run("plan", *asked)
    assert planned.returncode == 0, planned.stderr
    assert "24 runs of 12 cells" in planned.stdout
    process = commands.start("run", *asked)
    wait_for(lambda: len(list((tmp_path / "store/scaling").glob("r*"))) >= 3, 240, "three results")
    kill_all(process)
    assert commands.run("report", *asked).returncode == 1
    resumed = commands.run("run", *asked)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "the lowest loss" in resumed.stdout
    again = (*asked[:2], f"store.root={tmp_path / 'again'}")
    assert commands.run("run", *again).returncode == 0
    assert results(tmp_path / "store") == results(tmp_path / "again")
    for verb in ("status", "report", "verify"):
        done = commands.run(verb, *asked)
        assert done.returncode == 0, done.stdout + done.stderr
