"""Edits within the experiment: a backdoor is removed, kept as weights, and checked again from the file."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from modeldiff_core.errors import ConfigError
from modeldiff_core.plan import verify
from modeldiff_core.store import TensorObject, read_record, read_tensors, write_tensors
from modeldiff_core.training import Execution
from tests.modeldiff_core.experiments.components.studies import TINY, make, opened

BACKDOOR: dict[str, Any] = {
    "dataset": {
        "kind": "shortcut_digits",
        "shortcut": "backdoor",
        "label": 8,
        "share": 0.15,
        "n_train": 600,
        "n_test": 150,
    },
    "algorithm": {
        "name": "CNN",
        "kind": "sgd",
        "seed": 1,
        "recipe": {
            "epochs": 10,
            "batch_size": 25,
            "learning_rate": 0.05,
            "network": {"kind": "cnn", "widths": [24, 32]},
        },
    },
    "networks": [0],
    "ensemble": {"models": 2, "shard_size": 1},
    "attributed": 100,
    "ablation": {"alpha": 0.1, "rows": 240, "tests": [0.1], "test_rows": 20, "shard_size": 240},
    "edits": [
        {"name": "backdoor", "aim": "raise", "targets": {"shortcut": 1}, "most_targets": 10, "limit": 0.04, "most": 24},
        {"name": "mend", "aim": "raise", "targets": {"position": 1}, "reference": {"shortcut": 0}, "most": 8},
    ],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("edits")
    make(*opened(root, **BACKDOOR))
    return root


def test_a_backdoor_is_removed_on_examples_that_did_not_choose(finished: Path) -> None:
    experiment, store = opened(finished, **BACKDOOR)
    ((record,), (mended,)) = read_record(store, experiment.summary.record)["edits"].values()
    before, after = record["before"], record["limited"]["regression"]
    assert before["targets"] < 0.3
    assert before["reference"] > 0.9
    assert after["targets"] > before["targets"] + 0.4
    assert after["reference"] > before["reference"] - 0.1
    assert max(record["random"]["targets"]) < after["targets"]
    assert record["chosen_on"] == {"targets": 10, "reference": 50}
    assert record["measured_on"]["chose"] is False
    assert mended["measured_on"] == {**mended["measured_on"], "targets": 1, "chose": True}
    shown = experiment.shown(store)
    assert any(line.startswith("backdoor: without ") for line in shown.findings)
    assert [table.name for table in shown.tables][-1] == "Edits"
    assert len(shown.figures) == 6
    for name in ("regression", "leave_one_out", "gradient_parameter", "random"):
        curve = record["curves"][name]
        assert curve["sizes"] == [1, 2, 4, 8, 16, 24]
        assert len(curve["targets"]) == 6
    assert record["curves"]["random"]["targets"][-1] < record["curves"]["regression"]["targets"][-1]
    path = after["path"]
    assert path["sizes"][-1] == len(after["components"])
    assert (path["targets"][-1], path["reference"][-1]) == (after["targets"], after["reference"])


def test_pictures_show_what_the_network_says_before_and_after(finished: Path) -> None:
    experiment, store = opened(finished, **BACKDOOR)
    (edit, _) = experiment.edits(240)[0]
    record, examples = edit.read(store), edit.examples()
    net = edit.ablated.open(store, Execution())[0].net
    prepare = edit.ablated.open(store, Execution())[1].prepare
    assert prepare is not None
    says = {"before": net(prepare(examples.images)).argmax(-1)}
    stored = {name.removeprefix("state."): torch.from_numpy(value) for name, value in edit.edited.read(store).items()}
    net.load_state_dict(stored)
    says["after"] = net(prepare(examples.images)).argmax(-1)
    for part, shortcut in (("targets", 1), ("reference", 0)):
        shown = record["pictures"][part]
        assert len(shown) == 8
        for one in shown:
            at = one["position"]
            assert at >= 100
            assert part == "reference" or examples.metadata["shortcut"][at] == shortcut
            assert one["label"] == examples.labels[at]
            assert all(one[when] == says[when][at] for when in says)
    assert all(one["before"] != one["after"] == one["label"] for one in record["pictures"]["targets"])
    changed = [one["before"] != one["after"] for one in record["pictures"]["reference"]]
    assert changed == sorted(changed, reverse=True)


def test_the_edited_network_is_checked_again_from_its_file(finished: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(finished, tmp_path / "store"))
    experiment, store = opened(root, **BACKDOOR)
    assert verify(experiment, store) == ()
    edit = experiment.edits(240)[0][0]
    key = edit.edited.reference.record
    content = read_tensors(store, key)
    assert content.facts["components"]
    arrays = {name: value.copy() for name, value in content.arrays.items()}
    arrays["state.head.bias"] += 5.0 * (arrays["state.head.bias"] == arrays["state.head.bias"].max())
    write_tensors(store, key, TensorObject(arrays, content.identity, content.facts))
    (finding,) = verify(experiment, store)
    assert (finding.kind, finding.key) == ("damaged", key)
    assert "the edited network gives" in finding.why


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": {"color": 1}}, "edits.x.targets.color: expected one of label, position"),
        ({"targets": {"label": 12}}, "edits.x.targets: expected one of the 24 attributed examples"),
        ({"targets": {"position": 0}, "reference": {"position": 0}}, "edits.x.reference: expected one of the 24"),
        ({"targets": {"position": 0}, "reference": {"position": 1}}, "attributed: expected fewer than the 60 targets"),
        ({"targets": {"position": 0}, "aim": "keep"}, "edits.0.aim"),
    ],
)
def test_an_edit_of_nothing_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    edit = {"name": "x", "aim": "raise", **changes}
    with pytest.raises(ConfigError, match=re.escape(message)):
        opened(tmp_path, **{**TINY, "edits": [edit]})[0].check()


def test_edits_of_one_name_are_refused(tmp_path: Path) -> None:
    edit = {"name": "x", "aim": "raise", "targets": {"label": 3}}
    with pytest.raises(ConfigError, match=r"edits: expected edits with distinct names"):
        opened(tmp_path, edits=[edit, edit])[0].check()
