"""The shipped studies of rows, numbers and texts: what is planted in each is found, and named by its column or word."""

import time
from pathlib import Path

import pytest

from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import NoProgress
from modeldiff_core.store import read_record
from modeldiff_platform.flows.cli.compose import request

PLANTED = {"table_leak": "leak", "regression_diabetes": "bmi", "text_trigger": "zyzzyva"}
SECONDS = 300


@pytest.mark.nightly
@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found_and_named(name: str, tmp_path: Path) -> None:
    study, planted = request([f"study={name}"]).study, PLANTED[name]
    began = time.process_time()
    run_study(study, tmp_path, progress=NoProgress())
    assert time.process_time() - began < SECONDS
    experiment, store = open_experiment(study, tmp_path)
    summary = read_record(store, experiment.summary.record)
    (first, *_) = (one for one in summary["directions"] if one["significant"])
    said = [line for ends in first["subpopulations"].values() for end in ends.values() for line in end["words"]]
    assert any(line.startswith(f"{planted} ") for line in said), said
    effects = {one["name"]: one for one in summary["transformations"]}
    assert next(iter(effects.values()))["distinguishing"], effects
    assert any(planted in line for line in summary["findings"]), summary["findings"]
