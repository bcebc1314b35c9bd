"""A against B by components: the effect of a planted block is made by components of A and by none of B."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.own_experiments import content
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.component_contrast.agreement import agreement
from modeldiff_core.experiments.component_contrast.experiment import ComponentContrast
from modeldiff_core.experiments.component_contrast.linked import where_in_the_network
from modeldiff_core.experiments.component_contrast.present import removed
from modeldiff_core.experiments.run import open_experiment
from modeldiff_core.plan import InProcess, run, survey, verify
from modeldiff_core.store import MarginMatrix, ObjectStore, read_record
from modeldiff_core.training import Execution

BLOCK = {"top": 0, "left": 0, "height": 3, "width": 2}
MLP = {"epochs": 10, "batch_size": 25, "network": {"kind": "mlp", "widths": [32]}}
STUDY: dict[str, Any] = {
    "experiment": "component_contrast",
    "name": "planted",
    "dataset": {
        "kind": "digits",
        "n_train": 600,
        "n_test": 300,
        "seed": 0,
        "plant": {"label": 8, "fraction": 0.9, "seed": 0, "watermark": BLOCK},
    },
    "algorithm": {"name": "as is", "kind": "sgd", "seed": 1, "recipe": MLP},
    "algorithm_b": {
        "name": "erased",
        "kind": "sgd",
        "seed": 1,
        "recipe": {**MLP, "augmentations": [{"kind": "erase", **BLOCK}]},
    },
    "ensemble": {"models": 2, "shard_size": 2},
    "networks": [0, 1],
    "components": [{"kind": "rows"}],
    "attributed": 150,
    "ablation": {"rows": 200, "shard_size": 200},
    "effect": {"name": "watermark", "kind": "watermark", "target_class": 8, "parameters": BLOCK, "intensities": [1.0]},
    "limit": 0.03,
}


def opened(root: Path, **changes: Any) -> tuple[ComponentContrast, ObjectStore]:
    experiment, store = open_experiment({**STUDY, **changes}, root)
    assert isinstance(experiment, ComponentContrast)
    return experiment, store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("contrast")
    experiment, store = opened(root)
    experiment.check()
    run(experiment, store, InProcess(store, Execution()))
    return root


def test_named_components_of_a_carry_the_effect_and_b_has_none(finished: Path) -> None:
    experiment, store = opened(finished)
    assert survey(experiment, store).complete
    assert verify(experiment, store) == ()
    summary = read_record(store, experiment.summary.record)
    for one in summary["networks"]:
        assert one["a"]["before"]["effect"] > 5 * one["b"]["before"]["effect"]
        assert removed(one["a"]) > 0.5
        assert one["a"]["before"]["accuracy"] - one["a"]["after"]["accuracy"] < 0.08
        assert one["names"]
        assert all(name.startswith("0[") for name in one["names"])
        random = 1 - np.mean(one["random"]["effect"]) / one["a"]["before"]["effect"]
        assert random < removed(one["a"]) - 0.2
    assert [sum(layer["a"][at] for layer in summary["layers"]) for at in (0, 1)] == pytest.approx([1, 1])
    assert np.mean(summary["spectra"]["a"], axis=0)[0] > 3 * np.mean(summary["spectra"]["b"], axis=0)[0]
    shown = experiment.shown(store)
    assert "of its effect is gone" in shown.findings[1]
    assert [table.name for table in shown.tables] == ["Named components", "Layers", "Agreement of networks"]
    assert summary["agreement"]["layers"] == {"a": 1.0, "b": 1.0, "between": 1.0}, "there is one layer"
    assert 0.3 < summary["agreement"]["sizes"]["between"] < 1
    assert len(shown.figures) == 1
    before = content(finished)
    experiment.redraw(store)
    assert content(finished) == before


def test_an_effect_is_the_margin_with_the_block_minus_without(finished: Path) -> None:
    experiment, store = opened(finished)
    parts = experiment.parts["a"][1]
    subject, opened_network = parts.ablated.open(store, Execution())
    data = experiment.sides["a"].training.load().test
    chosen = np.flatnonzero(data.labels != 8)[:150]
    images = data.images[chosen].copy()
    images[:, 0:3, 0:2, 0] = np.array([[255, 0], [0, 255], [255, 0]])
    net = subject.net.get_submodule("net")
    assert opened_network.prepare is not None
    with torch.no_grad():
        logits = [net(opened_network.prepare(some)) for some in (images, data.images[chosen])]
    others = [label for label in range(10) if label != 8]
    margins = [one[:, 8] - one[:, others].amax(1) for one in logits]
    matrix = MarginMatrix.open(store, parts.gathered(200).reference.key)
    found = opened_network.probes.read(subject.net(opened_network.probes.inputs), opened_network.probes.labels)
    np.testing.assert_allclose(found, margins[0] - margins[1], atol=1e-4)
    assert matrix.margins().shape == (200, 150)


def test_a_comparison_of_the_same_networks_finds_the_contrast_and_no_other_does(finished: Path, tmp_path: Path) -> None:
    experiment, store = opened(finished)
    a, b = (side.training for side in experiment.sides.values())
    (found,) = where_in_the_network(store, (a, b))
    assert where_in_the_network(store, (b, a)) == (found,)
    assert found.title == "Where in the network: watermark, as is against erased"
    assert found.found == experiment.shown(store).findings[1]
    page = finished / "comparisons/some-0123abcd/report" / found.href
    assert page.resolve() == Path(store.path(experiment.report.record)).resolve()
    assert where_in_the_network(store, (a, a)) == ()
    fewer = replace(a, dataset=a.dataset.model_copy(update={"n_train": 500}))
    assert where_in_the_network(store, (fewer, b)) == ()
    root = Path(shutil.copytree(finished, tmp_path / "store"))
    (root / experiment.summary.record).write_text("{}")
    assert where_in_the_network(opened(root)[1], (a, b)) == ()


def test_networks_agree_where_their_sizes_are_distributed_alike() -> None:
    sizes = {"a": np.array([[3.0, 1.0], [6.0, 2.0], [1.0, 3.0]]), "b": np.array([[0.0, 1.0]])}
    found = agreement(sizes)
    assert found["a"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert found["b"] is None
    assert found["between"] == pytest.approx((0.25 + 0.25 + 0.75) / 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attributed": 280}, "attributed: expected fewer than the"),
        (
            {"algorithm_b": {**STUDY["algorithm"], "recipe": {"network": {"kind": "mlp", "widths": [8]}}}},
            "algorithm_b: exp",
        ),
        ({"effect": {**STUDY["effect"], "target_class": None}}, "effect.target_class: expected the class"),
        ({"components": [{"kind": "filters"}]}, "components.0.pattern"),
    ],
)
def test_what_cannot_be_contrasted_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        opened(tmp_path, **changes)[0].check()
