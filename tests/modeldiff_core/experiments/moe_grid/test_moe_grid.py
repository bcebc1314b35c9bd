"""The experiment ``scaling`` on tiny grids: what it trains, cuts and says, and that it goes on from any moment."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldiff_core.errors import ConfigError, DamagedObject
from modeldiff_core.experiments.moe_grid import choices, corpus, training
from modeldiff_core.experiments.moe_grid.choices import best_rate
from modeldiff_core.experiments.moe_grid.experiment import Scaling
from modeldiff_core.experiments.moe_grid.training import Rung, Training, train_run, train_rung
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import Checkpoint, NoProgress, RecordedFailure, RunFailed, verify
from modeldiff_core.plan.failures import read_failure
from modeldiff_core.scaling.runs import Runs
from modeldiff_core.store import ObjectStore, StoreSettings, read_record
from modeldiff_core.training import Execution

TINY: dict[str, Any] = {
    "experiment": "scaling",
    "name": "tiny",
    "sizes": [{"width": 16, "layers": 1, "experts": 8}],
    "sparsities": [0.0, 0.875],
    "budgets": [2.5e8],
    "learning_rates": [5e-3, 1e-2, 10.0],
    "seeds": 2,
    "context": 16,
    "tokens": {"kind": "character", "vocabulary": 40},
    "recipe": {"sequences": 8},
    "evaluation_windows": 32,
    "curve_points": 4,
    "fits": None,
}
HALVED = {**TINY, "name": "halved", "halving": {"at": [0.3]}}
RULED = {**TINY, "name": "ruled", "learning_rates": [2e-3, 1e-2, 5e-2], "tuning": {"share": 0.5}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid with a rate that diverges, and the same one with early cuts, in one store."""
    root = tmp_path_factory.mktemp("scaling")
    for study in (TINY, HALVED):
        run_study(study, root, progress=NoProgress())
    return root


def opened(study: dict[str, Any], root: Path) -> tuple[Scaling, ObjectStore, dict[str, Any]]:
    experiment, store = open_experiment(study, root)
    assert isinstance(experiment, Scaling)
    return experiment, store, read_record(store, experiment.summary.record)


def one_of(experiment: Scaling) -> Training:
    return experiment.cells.all[1].training(1e-2, 0)


def test_steps_follow_from_the_budget_and_losses_from_training(finished: Path) -> None:
    experiment, store, summary = opened(TINY, finished)
    dense, sparse = summary["cells"]
    assert sparse["steps"] > 1.5 * dense["steps"]
    for cell in (dense, sparse):
        assert cell["flops"] == pytest.approx(TINY["budgets"][0], rel=0.03)
        assert cell["tokens"] == cell["steps"] * 8 * 16
        assert cell["loss"] < math.log(40) - 0.3
        assert cell["seeds"] == 2
        assert cell["curve"]["steps"][-1] == cell["steps"]
        assert cell["curve"]["validation"][0] > cell["curve"]["validation"][-1]
    assert dense["balance"]["heaviest"] == pytest.approx(1.0)
    assert sparse["balance"]["heaviest"] > 1.1
    assert verify(experiment, store) == ()
    shown = experiment.shown(store)
    assert len(shown.figures) == 3
    assert any("is at S" in line for line in shown.findings)


def test_a_diverged_run_is_recorded_and_in_no_mean(finished: Path) -> None:
    experiment, store, summary = opened(TINY, finished)
    assert summary["diverged"] == 4
    for cell in summary["cells"]:
        failed = [run for run in cell["runs"] if run["failure"]]
        assert {run["rate"] for run in failed} == {10.0}
        assert all(run["failure"].startswith("diverged at step") and run["loss"] is None for run in failed)
        kept = [run["loss"] for run in cell["runs"] if run["rate"] == cell["rate"]]
        assert cell["loss"] == pytest.approx(np.mean(kept))
        assert cell["rate"] == 1e-2
        assert not cell["edge"]
    failure = read_failure(store, experiment.cells.all[0].training(10.0, 0).product.reference)
    assert failure is not None
    assert failure["facts"]["step"] >= 1
    table = Runs.from_csv(finished / experiment.folder / "runs.csv")
    assert len(table) == 4
    assert sorted(table.loss) == sorted(
        run["loss"] for c in summary["cells"] for run in c["runs"] if run["rate"] == 1e-2
    )


def test_early_cuts_are_recorded_and_leave_the_others_bits_as_they_are(finished: Path, tmp_path: Path) -> None:
    whole, _, uncut = opened(TINY, finished)
    experiment, store, summary = opened(HALVED, finished)
    assert summary["cut"] == 2
    for cell, before in zip(summary["cells"], uncut["cells"], strict=True):
        (halving,) = cell["halvings"]
        assert [one["rate"] for one in halving["cut"]] == [10.0]
        assert halving["cut"][0]["losses"] == [None, None]
        assert halving["kept"] == [5e-3, 1e-2]
        assert {run["rate"] for run in cell["runs"]} == {5e-3, 1e-2}
        assert cell["loss"] == before["loss"]
    run_study({**HALVED, "sparsities": [0.875]}, tmp_path, progress=NoProgress())
    key = one_of(experiment).product.reference.record
    assert key == one_of(whole).product.reference.record
    assert (tmp_path / key).read_bytes() == (finished / key).read_bytes()
    assert not list(tmp_path.rglob("checkpoint.safetensors"))
    assert verify(experiment, store) == ()


def test_a_run_killed_in_its_middle_goes_on_with_the_same_bits(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, store = one_of(opened(TINY, finished)[0]), ObjectStore(StoreSettings(str(tmp_path)))
    text = spec.corpus.product.reference.record
    (tmp_path / text).parent.mkdir(parents=True)
    (tmp_path / text).write_bytes((finished / text).read_bytes())
    monkeypatch.setattr(training, "SECONDS", 0.0)
    advance, steps = training.TrainedMoe.advance, []

    def until_killed(self: Any, tokens: np.ndarray) -> float:
        if len(steps) == 2 * spec.steps // 3:
            raise KeyboardInterrupt
        steps.append(self.step)
        return float(advance(self, tokens))

    monkeypatch.setattr(training.TrainedMoe, "advance", until_killed)
    with pytest.raises(KeyboardInterrupt):
        train_run(store, spec, Execution())
    position, _ = Checkpoint.of(spec.product).load(store)
    assert spec.steps // 3 < position < spec.steps
    monkeypatch.setattr(training.TrainedMoe, "advance", advance)
    train_run(store, spec, Execution())
    key = spec.product.reference.record
    assert (tmp_path / key).read_bytes() == (finished / key).read_bytes()
    # The first part of a training that is over is trained again from its start, and leaves nothing behind.
    store.delete(Checkpoint.of(spec.product).key)
    train_rung(store, Rung(spec, spec.steps // 3), Execution())
    assert Checkpoint.of(spec.product).load(store) == (0, {})


def test_a_rule_is_fitted_on_some_cells_and_used_for_all(tmp_path: Path) -> None:
    run_study(RULED, tmp_path, progress=NoProgress())
    experiment, store, summary = opened(RULED, tmp_path)
    assert experiment.rule is not None
    assert len(experiment.rule.trainings) == 3
    assert {one.network.active for one in experiment.rule.trainings} == {8}
    rule = summary["rule"]
    assert rule["lowest"] == 2e-3
    assert all(2e-3 <= cell["rate"] <= 5e-2 and not cell["edge"] for cell in summary["cells"])
    assert len({cell["rate"] for cell in summary["cells"]}) == 1
    assert rule["coefficients"][1:] == [0.0, 0.0]
    assert any(table.name == "Rule of the learning rate" for table in experiment.shown(store).tables)
    assert experiment.advice(store)[0].startswith("4 runs of 2 cells")
    assert verify(experiment, store) == ()


def planted(losses: dict[tuple[int, float, float], float], monkeypatch: pytest.MonkeyPatch) -> None:
    def loss_of(store: ObjectStore, one: Training) -> float:
        return losses[one.network.active, one.budget, one.recipe.learning_rate]

    monkeypatch.setattr(choices, "loss_of", loss_of)


def test_the_rule_finds_a_planted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = {
        **RULED,
        "budgets": [1e8, 4e8, 16e8],
        "learning_rates": [1e-3, 4e-3, 16e-3, 65e-3, 256e-3],
        "tuning": {"share": 1.0},
    }
    experiment, store = open_experiment(study, tmp_path)
    assert isinstance(experiment, Scaling)
    rule = experiment.rule
    assert rule is not None

    def best(one: Training) -> float:
        return 0.2 * choices.active_parameters(one.network) ** -0.2 * (one.budget / 1e8) ** -0.3

    assert all(4e-3 < best(one) < 65e-3 for one in rule.trainings)
    planted(
        {
            (one.network.active, one.budget, one.recipe.learning_rate): 2
            + math.log(one.recipe.learning_rate / best(one)) ** 2
            for one in rule.trainings
        },
        monkeypatch,
    )
    choices.fit_rule(store, rule)
    for cell in experiment.cells.all:
        one = cell.training(1.0, 0)
        assert rule.rate(store, one) == pytest.approx(best(one), rel=0.01)


def test_the_best_rate_is_flagged_at_an_end_and_lies_between_others_otherwise() -> None:
    assert best_rate([1.0, 2.0, 4.0], [3.0, 2.0, 1.0]) == (4.0, True)
    assert best_rate([1.0, 2.0, 4.0], [1.0, 2.0, math.inf]) == (1.0, True)
    assert best_rate([1.0, 2.0, 4.0], [2.0, 1.0, math.inf]) == (2.0, False)
    assert best_rate([1.0, 2.0, 4.0], [math.inf] * 3) == (None, True)
    rate, edge = best_rate([1.0, 2.0, 4.0], [1.1, 1.0, 1.1])
    assert rate == pytest.approx(2.0)
    assert not edge


def test_longer_runs_are_predicted_to_take_longer(tmp_path: Path) -> None:
    experiment, _ = open_experiment({**TINY, "budgets": [1e8, 1e9]}, tmp_path)
    assert isinstance(experiment, Scaling)
    first, *_, last = (cell.training(1e-2, 0).step().cost.seconds for cell in experiment.cells.all)
    assert last > 5 * first > 0


def test_a_large_text_lies_in_a_file_that_processes_share(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, store, _ = opened(TINY, finished)
    small = experiment.corpus.read(store)
    monkeypatch.setenv("MODELDIFF_HOME", str(tmp_path))
    monkeypatch.setattr(corpus, "MAPPED", 0)
    for _ in range(2):
        corpus._read.cache_clear()
        large = experiment.corpus.read(store)
        assert all(isinstance(ids, np.memmap) for ids in large)
        assert all(np.array_equal(one, other) for one, other in zip(small, large, strict=True))
    assert len(list((tmp_path / "tokens").iterdir())) == 2
    corpus._read.cache_clear()


def test_other_text_and_other_places_of_the_same_text(tmp_path: Path) -> None:
    def at(name: str, words: str) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "text.txt").write_text(f"{words} a b c\n\n" * 300 + "the other end\n\n" * 40 + words)
        study = {**TINY, "corpus": {"kind": "files", "paths": [str(tmp_path / name)]}, "validation_share": 0.4}
        experiment, _ = open_experiment(study, tmp_path)
        return experiment.digest

    assert at("a", "one") == at("b", "one") != at("c", "two")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sparsities": [0.9]},
            "sparsities: expected a sparsity that 8 experts can have; the nearest is 0.8750, got 0.9",
        ),
        ({"sparsities": [1.0]}, "sparsities.0: expected less than 1"),
        ({"granularities": [7]}, "network.granularity: expected a divisor of 4 · width, 64"),
        ({"learning_rates": [0.1, 0.1]}, "learning_rates: expected distinct levels"),
        ({"learning_rates": [0.0]}, "learning_rates.0: expected greater than 0"),
        ({"budgets": []}, "budgets: expected"),
        ({"halving": {"at": [0.5, 0.2]}}, "halving.at: expected increasing shares"),
        ({"tuning": {"share": 0.5}, "learning_rates": [0.1, 0.2]}, "learning_rates: expected three or more"),
        ({"corpus": {"kind": "web"}}, "corpus"),
        ({"recipe": {"sequences": 0}}, "recipe.sequences: expected greater than or equal to 1"),
    ],
)
def test_bad_requests_are_refused_by_their_key(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        open_experiment({**TINY, **changes}, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"corpus": {"kind": "files", "paths": ["/nowhere"]}},
            "corpus.paths: expected files and folders that are there",
        ),
        ({"context": 500_000}, "tokens are too few for a context of 500000"),
    ],
)
def test_text_that_cannot_be_trained_on_ends_a_run(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    study = {**TINY, **changes, "learning_rates": [1e-2], "seeds": 1, "sparsities": [0.875]}
    experiment, _ = open_experiment(study, tmp_path)
    if "corpus" in changes:
        assert "corpus: the text is not on this machine" in experiment.check()[0]
    with pytest.raises(RunFailed, match=message):
        run_study(study, tmp_path, progress=NoProgress())


def test_a_damaged_run_is_found_and_made_again_with_the_same_bits(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "store")
    experiment, store, _ = opened(TINY, tmp_path / "store")
    path = tmp_path / "store" / one_of(experiment).product.reference.record
    before = path.read_bytes()
    path.write_bytes(before[:-4] + b"\0\0\0\0")
    (finding,) = verify(experiment, store)
    assert finding.kind == "damaged"
    with pytest.raises(DamagedObject):
        one_of(experiment).product.read(store)
    path.unlink()
    run_study(TINY, tmp_path / "store", progress=NoProgress())
    assert path.read_bytes() == before


def test_a_grid_without_any_result_says_so(tmp_path: Path) -> None:
    study = {**TINY, "learning_rates": [10.0], "seeds": 1}
    shown = run_study(study, tmp_path, progress=NoProgress())
    assert shown.findings[1].startswith("Every run of 2 cells diverged")
    assert shown.figures == ()
    experiment, store = open_experiment(study, tmp_path)
    assert isinstance(experiment, Scaling)
    with pytest.raises(RecordedFailure, match="diverged at step"):
        train_run(store, experiment.cells.all[0].training(10.0, 0), Execution())


def test_the_summary_is_plain_json(finished: Path) -> None:
    experiment, store, summary = opened(TINY, finished)
    assert json.loads(json.dumps(summary)) == summary
    assert store.exists(f"{experiment.folder}/report/index.html")
