"""Simplicity bias: a network relies on the planted feature, a killed run goes on, and bad requests are refused."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.featured import networks
from modeldiff_core.experiments.run import open_experiment, run_study, status_of
from modeldiff_core.experiments.simplicity.needed import smallest
from modeldiff_core.plan import Checkpoint, NoProgress, verify
from modeldiff_core.store import read_record

TINY: dict[str, Any] = {
    "experiment": "simplicity",
    "name": "tiny",
    "dataset": {
        "kind": "slabs",
        "coordinates": [{"kind": "linear"}, {"kind": "3-slab", "count": 4}, {"kind": "normal", "count": 2}],
        "n_train": 1500,
        "n_test": 600,
    },
    "networks": {"width": [40], "steps": [400], "learning_rate": [0.2], "ensemble": [1, 2]},
    "attacks": {"l2": {"norm": "l2", "epsilon": 0.5, "steps": 3, "step": 0.5}},
    "evaluation": {"attacks": ["l2"], "examples": 200},
    "seeds": 3,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("simplicity")
    run_study(TINY, root, progress=NoProgress())
    return root


def test_the_networks_rely_on_the_simple_feature_and_not_on_noise(finished: Path) -> None:
    experiment, store = open_experiment(TINY, finished)
    summary = read_record(store, experiment.summary.record)
    assert [one["name"] for one in summary["sets"]] == ["linear", "3-slab", "normal"]
    for cell in summary["cells"]:
        accuracy = {way: cell[way] for way in ("standard", "all")}
        assert accuracy["standard"]["accuracy"]["mean"] > 0.99
        assert accuracy["all"]["accuracy"]["low"] < 0.5 < accuracy["all"]["accuracy"]["high"]
        reliance = {name: found["mean"] for name, found in cell["reliance"].items()}
        assert reliance["linear"] > 2 * reliance["3-slab"]
        assert reliance["linear"] > 0.6
        assert abs(reliance["normal"]) < 0.1
        assert cell["randomised"]["linear"]["roc_auc"]["mean"] < cell["rest"]["linear"]["roc_auc"]["mean"]
        attacked = cell["attacked"]["l2"]
        assert attacked["fixed"]["linear"]["each"]["mean"] > attacked["each"]["mean"]
        assert attacked["share"]["linear"]["mean"] > 0.5
    assert [cell["networks"] for cell in summary["cells"]] == [3, 6]
    alone = {cell["name"]: cell for cell in summary["controls"]}
    assert alone.keys() == {"linear", "3-slab"}
    assert alone["3-slab"]["reliance"]["3-slab"]["mean"] > 0.8


def test_every_screen_says_what_was_found(finished: Path) -> None:
    experiment, store = open_experiment(TINY, finished)
    shown = experiment.shown(store)
    assert any(
        line.startswith("ensemble 1: accuracy 1.0") or "ensemble 1: accuracy 0.99" in line for line in shown.findings
    )
    assert sum(line.startswith("Control, ") for line in shown.findings) == 2
    names = [table.name for table in shown.tables]
    assert names == ["Accuracy", "AUC (ROC)", "AUC (precision-recall)", "Reliance", "Attacks"]
    assert len(shown.figures) == 2
    assert verify(experiment, store) == ()
    assert status_of(TINY, finished).complete
    assert experiment.check() == []


def test_a_training_that_is_killed_goes_on_from_its_checkpoint_with_equal_bits(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "EVERY", 150)
    save = Checkpoint.save

    def killed(self: Checkpoint, store: Any, position: int, arrays: Any) -> None:
        save(self, store, position, arrays)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run_study(TINY, tmp_path, progress=NoProgress())
    assert len(list(tmp_path.rglob("checkpoint.safetensors"))) == 1
    monkeypatch.setattr(Checkpoint, "save", save)
    run_study(TINY, tmp_path, progress=NoProgress())
    files = {path.relative_to(finished) for path in finished.rglob("*") if path.is_file()}
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()} == files
    assert all((finished / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


def test_networks_that_diverge_are_a_recorded_failure_and_the_others_are_shown(finished: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(finished, tmp_path / "store"))
    study = {
        **TINY,
        "networks": {**TINY["networks"], "ensemble": [1], "learning_rate": [0.2, 1e9]},
        "controls": False,
        "evaluation": {},
    }
    shown = run_study(study, root, progress=NoProgress())
    assert any("diverged" in line for line in shown.findings)
    assert len(shown.tables[0].rows) == 1
    experiment, store = open_experiment(study, root)
    assert verify(experiment, store) == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"feature_sets": {"a": ["linear"], "b": ["linear", "normal"]}},
            "feature_sets.b: expected features of no other set",
        ),
        (
            {"feature_sets": {"a": ["linear", "color"]}},
            "feature_sets.a: expected one of linear, 3-slab, normal, got 'color'",
        ),
        ({"feature_sets": {"a": []}}, "feature_sets.a: expected one feature or more"),
        ({"feature_sets": {"a": ["linear", "3-slab", "normal"]}}, "feature_sets.a: expected fewer than all features"),
        ({"attacks": {"l2": {"epsilon": 0}}}, "attacks.l2.epsilon: expected greater than 0"),
        ({"evaluation": {"attacks": ["linf"]}}, "evaluation.attacks: expected one of l2, got 'linf'"),
        ({"networks": {"attack": ["linf"]}}, "networks.attack: expected one of none, l2, got 'linf'"),
        ({"networks": {"width": []}}, "grid.width: expected one level or more"),
        ({"dataset": {"kind": "digits"}}, r"dataset.kind: expected a dataset that knows its features \(block_images"),
        ({"dataset": {"kind": "dominoes", "first": {"classes": [1]}}}, "dataset.first.classes: expected two or more"),
    ],
)
def test_bad_requests_are_refused_by_their_key_before_anything_runs(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_experiment({**TINY, **changes}, tmp_path)[0].check()
    assert not any(tmp_path.rglob("*.safetensors"))


def test_few_replicates_and_single_features_are_warned_of(tmp_path: Path) -> None:
    lonely = {"kind": "slabs", "coordinates": [{"kind": "linear"}, {"kind": "normal"}], "n_train": 10, "n_test": 10}
    warnings = open_experiment({**TINY, "dataset": lonely, "seeds": 1}, tmp_path)[0].check()
    assert [line.split(":")[0] for line in warnings] == ["seeds", "feature_sets"]


def test_the_norm_that_is_needed_is_found_between_those_that_are_tried() -> None:
    for wanted in (0.1, 0.7, 2.0):
        found = smallest(lambda epsilon, wanted=wanted: float(epsilon < wanted), 0.5, 0.5)
        assert found is not None
        assert wanted <= found <= 1.05 * wanted
    assert smallest(lambda epsilon: 1.0, 0.5, 0.5) is None
    assert smallest(lambda epsilon: 0.0, 0.5, 0.5) == 0.5 / 16


def test_an_attack_needs_more_where_the_feature_that_networks_rely_on_is_held(tmp_path: Path) -> None:
    evaluation = {"attacks": ["l2"], "examples": 200, "norms": True}
    networks = {**TINY["networks"], "ensemble": [1]}
    study = {**TINY, "networks": networks, "evaluation": evaluation, "controls": False, "seeds": 2}
    run_study(study, tmp_path, progress=NoProgress())
    experiment, store = open_experiment(study, tmp_path)
    needed = read_record(store, experiment.summary.record)["cells"][0]["needed"]["l2"]
    for way in ("each", "universal"):
        free, slabs = (needed[held][way]["mean"] for held in ("", "3-slab"))
        assert slabs >= free > 0.1
        held = needed["linear"][way]
        assert held is None or held["mean"] > 1.5 * free
    table = next(table for table in experiment.shown(store).tables if table.name == "Norms that attacks need")
    assert [row["perturbation"] for row in table.rows] == ["one for each example", "one for all"]
    assert verify(experiment, store) == ()
    without = {**study, "evaluation": {key: value for key, value in evaluation.items() if key != "norms"}}
    assert open_experiment(without, tmp_path)[0].digest != experiment.digest
