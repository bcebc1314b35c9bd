"""A comparison of plain and adversarial training on data whose features are known."""

from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import NoProgress, verify
from modeldiff_core.store import read_record
from tests.modeldiff_core.stages.studies import EXECUTION, SGD, TINY

ATTACK = {"norm": "linf", "epsilon": 0.1, "steps": 2, "step": 0.5, "random_start": False}
STUDY: dict[str, Any] = {
    **TINY,
    "dataset": {"kind": "dominoes", "n_train": 60, "n_test": 60, "seed": 0},
    "algorithm_a": {"name": "plain", "kind": "sgd", "seed": 1, "recipe": SGD},
    "algorithm_b": {"name": "attacked", "kind": "adversarial", "seed": 1, "recipe": {**SGD, "attack": ATTACK}},
}


@pytest.mark.nightly
def test_a_comparison_takes_them(tmp_path: Path) -> None:
    run_study(STUDY, tmp_path, execution=EXECUTION, progress=NoProgress())
    experiment, store = open_experiment(STUDY, tmp_path)
    assert verify(experiment, store) == ()
    summary = read_record(store, experiment.summary.record)
    assert "attacked" in str(summary["algorithms"])


@pytest.mark.parametrize("kind", ["slabs", "block_images", "one_hot"])
def test_a_study_of_the_other_data_sets_is_valid(kind: str, tmp_path: Path) -> None:
    dataset = {"kind": kind, "n_train": 60, "n_test": 60, "seed": 0}
    experiment, _ = open_experiment({**STUDY, "dataset": dataset}, tmp_path)
    assert len(experiment.inventories()) == 1
    assert isinstance(experiment.check(), list)
