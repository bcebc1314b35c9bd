"""Laws of a grid's runs, whose losses are planted in place of trainings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.moe_grid import training
from modeldiff_core.experiments.moe_grid.experiment import Scaling
from modeldiff_core.experiments.moe_grid.laws import collect_runs
from modeldiff_core.experiments.moe_grid.training import Training
from modeldiff_core.experiments.reported import StudySpec
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.identity import generator
from modeldiff_core.plan import NoProgress, RecordedFailure, verify
from modeldiff_core.plan.failures import write_failure
from modeldiff_core.scaling.runs import Runs
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.training import Execution
from modeldiff_core.training.moe import parameters

STUDY: dict[str, Any] = {
    "experiment": "scaling",
    "name": "planted",
    "sizes": [{"width": width, "layers": 1, "experts": 16} for width in (16, 32, 64, 128)],
    "sparsities": [0.0, 0.5, 0.75, 0.875, 0.9375],
    "budgets": [1e12, 4e12, 16e12],
    "learning_rates": [1e-2],
    "seeds": 1,
    "fits": {"draws": 40, "laws": ["sparsity"]},
}


def planted(one: Training) -> float:
    """Return the loss of a law with an optimum inside the grid."""
    size, active = parameters(one.network) / 1e4, 1 - one.network.sparsity
    return 1.0 + 0.4 * size**-0.3 + 1.2 * (one.tokens / 1e6) ** -0.4 + 0.05 * active**-0.6 * size**-0.2


def no_training(store: ObjectStore, spec: Training, execution: Execution) -> None:
    loss = planted(spec) * (1 + 0.002 * generator("planted", spec.words).standard_normal())
    loads = np.full((spec.network.layers, spec.network.experts), 1 / spec.network.experts)
    curve = {name: np.array([float(spec.steps)]) for name in training.CURVE}
    spec.product.write(store, {"loss": np.array([loss]), "loads": loads, **curve})


def all_diverge(store: ObjectStore, spec: Training, execution: Execution) -> None:
    raise RecordedFailure("diverged at step 1", {"step": 1})


def test_the_table_of_a_grid_has_every_run(tmp_path: Path) -> None:
    experiment, store = open_experiment(STUDY, tmp_path)
    assert isinstance(experiment, Scaling)
    trainings = [cell.training(1e-2, 0) for cell in experiment.cells.all]
    for one in trainings[1:]:
        no_training(store, one, Execution())
    write_failure(store, trainings[0].product.reference, RecordedFailure("diverged at step 1", {"step": 1}))
    collect_runs(store, StudySpec.of(experiment))
    assert experiment.fits is not None
    runs = experiment.fits.runs.read(store)
    assert len(runs) == 59
    assert runs.notes == ("1 runs diverged and are left out.",)
    assert list(runs.tokens) == [one.tokens for one in trainings[1:]]
    assert np.allclose(runs.loss, [planted(one) for one in trainings[1:]], rtol=0.01)


@pytest.mark.nightly
def test_the_laws_of_a_grid_are_on_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "train_run", no_training)
    no_training.__module__, no_training.__qualname__ = training.__name__, "train_run"
    shown = run_study(STUDY, tmp_path, progress=NoProgress())
    experiment, store = open_experiment(STUDY, tmp_path)
    assert isinstance(experiment, Scaling)
    summary = read_record(store, experiment.summary.record)
    assert summary["runs"] == 60
    assert summary["laws"]["runs"]["count"] == 60
    assert summary["laws"]["laws"][0]["noise"] < 0.004
    assert any("S*" in line for line in shown.findings)
    assert len(shown.figures) > 4
    assert len(Runs.from_csv(tmp_path / experiment.folder / "runs.csv")) == 60
    assert verify(experiment, store) == ()
    other, _ = open_experiment({**STUDY, "fits": None}, tmp_path)
    assert isinstance(other, Scaling)
    assert other.digest != experiment.digest
    assert other.cells.all[0].training(1e-2, 0).product == experiment.cells.all[0].training(1e-2, 0).product


def test_no_law_is_fitted_to_runs_that_all_diverged(tmp_path: Path) -> None:
    experiment, store = open_experiment({**STUDY, "budgets": [1e12, 4e12]}, tmp_path)
    assert isinstance(experiment, Scaling)
    for cell in experiment.cells.all:
        failure = RecordedFailure("diverged at step 1", {"step": 1})
        write_failure(store, cell.training(1e-2, 0).product.reference, failure)
    with pytest.raises(RecordedFailure, match="no law can be fitted: runs: expected at least one run"):
        collect_runs(store, StudySpec.of(experiment))


@pytest.mark.nightly
def test_a_grid_whose_runs_all_diverged_has_no_law_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "train_run", all_diverge)
    all_diverge.__module__, all_diverge.__qualname__ = training.__name__, "train_run"
    shown = run_study({**STUDY, "budgets": [1e12, 4e12]}, tmp_path, progress=NoProgress())
    assert any(line.startswith("no law can be fitted") for line in shown.findings)
    assert shown.figures == ()


def test_a_grid_that_is_too_small_for_a_law_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    few = {**STUDY, "sizes": STUDY["sizes"][:1], "sparsities": [0.0, 0.5], "budgets": [1e12], "seeds": 1}
    with pytest.raises(ConfigError, match="fits=null trains the grid without laws"):
        open_experiment(few, tmp_path)
    assert open_experiment({**few, "fits": None}, tmp_path)[0].check()
