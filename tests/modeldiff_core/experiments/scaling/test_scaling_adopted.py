"""A table of planted runs through the experiment's every verb, and the sentences of its page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.planted_laws import BUDGETS, SPARSITIES, Planted, grid
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.experiments.scaling.page import findings
from modeldiff_core.experiments.scaling.settings import FitsConfig
from modeldiff_core.plan import NoProgress, run, survey, verify
from modeldiff_core.plan.run import InProcess
from modeldiff_core.store import read_record
from modeldiff_core.training import Execution
from modeldiff_platform.conf.defaults import all_defaults
from modeldiff_platform.flows.cli.compose import composed


def written(path: Path, noise: float = 0.004) -> Path:
    """Write a table of 105 planted runs and one that diverged."""
    cells = grid(np.geomspace(2e8, 3e10, 5), SPARSITIES, BUDGETS[::2])
    runs = Planted().runs(cells, noise, np.random.default_rng(0))
    columns = runs.parameters, runs.tokens, runs.sparsity, runs.flops, runs.loss
    lines = [",".join(map(repr, map(float, row))) for row in zip(*columns, strict=True)]
    path.write_text("\n".join(["N,D,S,C,loss", *lines, "1e9,1e9,0,6e18,nan"]) + "\n")
    return path


def asked(table: Path, **fits: Any) -> dict[str, Any]:
    return {"experiment": "scaling_adopted", "name": "planted", "table": str(table), "fits": {"draws": 40, **fits}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Return a study and the root of its finished store, made once."""
    folder = tmp_path_factory.mktemp("scaling")
    study = asked(written(folder / "runs.csv"))
    run_study(study, folder / "store", progress=NoProgress())
    return study, folder / "store"


def test_a_table_is_fitted_asked_and_shown(finished: tuple[dict[str, Any], Path]) -> None:
    study, root = finished
    experiment, store = open_experiment(study, root)
    assert survey(experiment, store).complete
    summary = read_record(store, experiment.summary.record)
    assert summary["runs"]["count"] == 105
    assert summary["runs"]["notes"] == ["1 of 106 rows have no loss (diverged or cut) and were left out."]
    assert (summary["trends"]["rises"], summary["trends"]["falls"]) == (1.0, 1.0)
    by_name = {row["name"]: row for row in summary["laws"][0]["coefficients"]}
    assert by_name["beta"]["determined"]
    assert not by_name["e"]["determined"]
    rows = [row for row in summary["best_sparsity"] if not row["edge"]]
    n, c, best = (np.array([row[name] for row in rows]) for name in ("parameters", "flops", "best"))
    np.testing.assert_allclose([row["value"] for row in best], Planted().best(n, c), atol=0.03)
    edges = [row["edge"] for surface in summary["surfaces"] for row in surface["rows"]]
    assert 0 < sum(edge != 0 for edge in edges) < len(edges)
    assert {row["held"] for row in summary["held_out"]} == {"S = 0.98", "C = 1e+21"}
    assert 0 < summary["advice"]["flops"] < summary["advice"]["grid"]
    shown = experiment.shown(store)
    assert shown.findings[0].startswith("S* rises with N at fixed C (in 100% of the draws); S* falls with C")
    assert any("do not determine" in line and " e:" in line for line in shown.findings)
    assert {table.name for table in shown.tables} >= {"Best sparsity", "New budget", "IsoFLOP surfaces", "Next"}
    assert len(shown.figures) == 4
    page = store.read(experiment.report.record).decode()
    assert "Laws on runs held out" in page
    assert len(experiment.advice(store)) == 1


def test_what_is_damaged_is_found_and_made_again_with_the_same_bits(finished: tuple[dict[str, Any], Path]) -> None:
    study, root = finished
    experiment, store = open_experiment(study, root)
    assert verify(experiment, store) == ()
    key = experiment.fits.laws[0].product.reference.record
    before = store.read(key)
    store.write(key, before[:-8] + b"\x00" * 8)
    assert len(verify(experiment, store)) == 1
    store.delete(key)
    assert not survey(experiment, store).complete
    run(experiment, store, InProcess(store, Execution()))
    assert store.read(key) == before
    assert verify(experiment, store) == ()


def test_the_same_values_at_another_place_are_the_same_study(
    finished: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    study, root = finished
    experiment, _ = open_experiment(study, root)
    copied, _ = open_experiment(asked(written(tmp_path / "copy.csv")), root)
    other, _ = open_experiment(asked(written(tmp_path / "other.csv", noise=0.005)), root)
    assert copied.digest == experiment.digest != other.digest


def test_a_table_that_cannot_be_fitted_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "dense.csv"
    lines = [f"{n},{d},0,{6 * n * d},3" for n in (1e8, 2e8, 4e8, 8e8) for d in (1e9, 2e9, 4e9, 8e9)]
    path.write_text("\n".join(["N,D,S,C,loss", *lines]))
    experiment, _ = open_experiment(asked(path), tmp_path)
    with pytest.raises(ConfigError, match="3 sparsities or more for the law sparsity"):
        experiment.check()
    with pytest.raises(ConfigError, match="first a law of sparsity"):
        open_experiment(asked(path, laws=("chinchilla",)), tmp_path)
    with pytest.raises(ConfigError, match="fits.draws"):
        open_experiment(asked(path, draws=3), tmp_path)


def test_the_sentences_say_what_is_undecided_and_what_contradicts(finished: tuple[dict[str, Any], Path]) -> None:
    study, root = finished
    experiment, store = open_experiment(study, root)
    summary = json.loads(json.dumps(read_record(store, experiment.summary.record)))
    summary["trends"] |= {"rises": 0.7, "falls": 0.01}
    first = findings(summary)[0]
    assert first.startswith("Whether S* rises with N at fixed C is undecided (in 70% of the draws)")
    assert "S* does not do what the paper found, that it falls with C" in first
    summary["trends"]["rises"] = None
    assert "cannot be told" in findings(summary)[0]
    summary["advice"]["flops"] = None
    assert any(line.startswith("No number of runs") for line in findings(summary))


def test_the_command_line_has_every_setting_with_its_default() -> None:
    content = composed(["study=scaling_adopted", "table=runs.csv"])
    assert content["fits"] == all_defaults()["laws"] == FitsConfig().model_dump(mode="json")
    assert content["table"] == "runs.csv"
