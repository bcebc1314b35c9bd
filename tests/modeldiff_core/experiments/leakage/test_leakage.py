"""Leakage: gradients of standard networks lie on the null block too, those of robust ones do not."""

from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.leakage.experiment import _verdict
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import NoProgress, verify
from modeldiff_core.store import read_record
from modeldiff_core.training.attacks import RisingAttack

BLOCKS: dict[str, Any] = {"kind": "block_images", "n_train": 400, "n_test": 150}
TINY: dict[str, Any] = {
    "experiment": "leakage",
    "name": "tiny",
    "datasets": {"random": BLOCKS, "top": {**BLOCKS, "position": "top"}},
    "networks": {
        "width": [40],
        "steps": [150],
        "batch_size": [64],
        "learning_rate": [0.05],
        "momentum": [0.9],
        "attack": ["none", "l2"],
    },
    "attacks": {"l2": {"norm": "l2", "epsilon": 1.0, "steps": 3, "step": 0.4}},
    "attributions": ["loss"],
    "examples": 150,
    "seeds": 2,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("leakage")
    run_study(TINY, root, progress=NoProgress())
    return root


def test_standard_networks_leak_and_robust_and_fixed_ones_do_not(finished: Path) -> None:
    experiment, store = open_experiment(TINY, finished)
    rows = {(row["data"], row["networks"]): row for row in read_record(store, experiment.summary.record)["cells"]}
    assert all(row["accuracy"]["mean"] > 0.97 for row in rows.values())
    outside = {key: row["outside"]["mean"] for key, row in rows.items()}
    assert outside["random", "attack none"] > 0.25
    assert outside["random", "attack l2"] < 0.1
    assert outside["top", "attack none"] < 0.05
    assert rows["random", "attack l2"]["first"]["mean"] > 0.85
    shown = experiment.shown(store)
    assert any(line.startswith("random, attack none") and "% lies outside" in line for line in shown.findings)
    learned = [(0.2, 0.4, 0.9), (0.0, 0.04, 0.9), (0.0, 0.4, 0.9), (0.2, 0.4, 0.52)]
    assert [
        _verdict({"outside": {"low": low, "high": high}, "accuracy": {"mean": accuracy}}, 0.5)
        for low, high, accuracy in learned
    ] == [
        "it leaks",
        "it does not leak",
        "whether it leaks is undecided",
        "these networks have learned nothing, so it says nothing",
    ]
    assert len(shown.figures) == 1
    assert verify(experiment, store) == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "k: expected greater than 0, got 0"),
        ({"k": 1}, "k: expected less than 1, got 1"),
        ({"k": 0.001}, "k: expected a share that keeps 1 to 127 of the 128 values of random"),
        ({"signal": "null"}, "signal: expected a feature that tells the class of random, got 'null'"),
        ({"signal": "color"}, "signal: expected one of signal, null, position"),
        ({"attributions": ["lime"]}, "attributions: expected one of"),
        ({"datasets": {"one": {"kind": "digits"}}}, "dataset.kind: expected a dataset that knows its features"),
        ({"datasets": {"one": {"kind": "slabs", "n_train": 4, "n_test": 4}}, "signal": "linear"}, "dataset: expected"),
        ({"datasets": {"one": {**BLOCKS, "side": 9}}}, "dataset.side: expected at most 8"),
        ({"datasets": {"one": {**BLOCKS, "signal": {"classes": [3]}}}}, "dataset.signal.classes: expected two or more"),
        ({"attacks": {"l2": {"epsilon": 0.0}}}, "attacks.l2.epsilon: expected greater than 0"),
        ({"attacks": {"l2": {"epsilon": 1.0, "rise": 1.5}}}, "attacks.l2.rise: expected less than or equal to 1"),
    ],
)
def test_bad_requests_are_refused_by_their_key(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        open_experiment({**TINY, **changes}, tmp_path)


def test_an_attack_that_rises_is_of_training_alone_and_none_changes_no_key(tmp_path: Path) -> None:
    plain, rising = (
        open_experiment({**TINY, "attacks": {"l2": {**TINY["attacks"]["l2"], "rise": rise}}}, tmp_path)[0]
        for rise in (0, 0.5)
    )
    assert plain.summary.record == open_experiment(TINY, tmp_path)[0].summary.record != rising.summary.record
    attacks = [one.study.attacks["l2"] for one in (plain, rising)]
    assert attacks[0].attack() == attacks[1].attack() == attacks[0].trained_against() != attacks[1].trained_against()
    trained = {cell.trained.recipe.attack for cell in rising.cells.values()}
    assert trained == {None, RisingAttack("l2", 1.0, 3, 0.4, rise=0.5)}
