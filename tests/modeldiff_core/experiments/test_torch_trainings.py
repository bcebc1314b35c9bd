"""Studies of kind torch by metagradients: preview, prior and matrix-free, killed and resumed, and what is refused."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modeldiff_core import plan
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare.experiment import Compare
from modeldiff_core.experiments.preview.experiment import Preview, PreviewStudy
from modeldiff_core.stages import products
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study import parse_study
from tests.modeldiff_core.stages.studies import EXECUTION, TINY, local

SOURCE = """
from torch import nn
from torch.nn import functional as F


def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Linear(8, 10))


class Random(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(F.dropout(x.flatten(1), 0.5, self.training))
"""


@pytest.fixture(scope="module", autouse=True)
def tiny_nets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "tiny_nets.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield
    sys.modules.pop("tiny_nets", None)


def side(name: str, **recipe: Any) -> dict[str, Any]:
    return {"name": name, "kind": "torch", "seed": 1, "recipe": {"network": "tiny_nets:net", "epochs": 3, **recipe}}


ADAMW = side("AdamW", optimizer="AdamW", optimizer_arguments={"lr": 0.01, "eps": 1e-4}, mixup=0.4, batch_size=16)
DESCENT = side("SGD", optimizer_arguments={"lr": 0.1, "momentum": 0.9}, batch_size=16)
STUDY = {
    **TINY,
    "dataset": {"kind": "digits", "n_train": 200, "n_test": 40, "seed": 0, "plant": None},
    "algorithm_a": ADAMW,
    "algorithm_b": DESCENT,
    "subsets": {"models": 40, "evaluation_models": 8, "shard_size": 20},
    "ensemble": {"models": 4, "shard_size": 4},
    "transformations": [],
}


def preview(**changes: Any) -> Preview:
    asked = {"trainings": 1, "probes": 2, "components": 2, "top": 4, "searched": 0}
    return Preview(PreviewStudy.parse({**STUDY, "preview": asked, **changes}))


def matrix_free() -> dict[str, Any]:
    asked = {"trainings": 2, "probes": 2, "scored": 1}
    return {**STUDY, "comparison": {"method": "matrix_free", "components": 2, "top": 4, "matrix_free": asked}}


def carry_out(store: ObjectStore, experiment: Any) -> dict[str, Any]:
    experiment.check()
    plan.run(experiment, store, plan.InProcess(store, EXECUTION))
    assert plan.verify(experiment, store) == ()
    return read_record(store, experiment.summary.record)


def prior() -> dict[str, Any]:
    settings = {"metagradient": {"trainings": 2}}
    regression = {**TINY["regression"], "estimator": "ridge", "prior": "metagradient", "settings": settings}
    comparison = {"method": "contrast", "components": 2, "draws": 20, "top": 4}
    return {**STUDY, "regression": {**regression, "also": ["metagradient"]}, "comparison": comparison}


def products_of(store: ObjectStore) -> dict[str, bytes]:
    """Carry out what differentiates trainings where the store lacks it, and return what it holds of it."""
    for wave in preview().handful.waves("tiny", {"a": "AdamW", "b": "SGD"}):
        for step in wave.steps:
            if not store.exists(step.reference.record):
                step.stage(store, step.spec, EXECUTION) if step.on_device else step.stage(store, step.spec)
    names = [name for name in store.listing("") if "metagradients/" in name and name.endswith(".safetensors")]
    return {name: store.read(name) for name in names}


def test_products_that_were_killed_go_on_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = products_of(local(tmp_path / "whole"))
    assert len(whole) == 4
    store, original, runs = local(tmp_path / "killed"), products.Derived.run, []

    def killed(self: products.Derived, *arguments: Any) -> Any:
        runs.append(self.number)
        if len(runs) == 3:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(products.Derived, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        products_of(store)
    assert len(runs) == 3
    assert products_of(store) == whole
    assert len(runs) == 5


def test_preview_prior_and_matrix_free_take_the_kind(tmp_path: Path) -> None:
    preview().check()
    for content in (matrix_free(), prior()):
        Compare.of(parse_study(content), local(tmp_path)).check()


@pytest.mark.nightly
def test_whole_studies_of_the_kind(tmp_path: Path) -> None:
    store = local(tmp_path)
    assert carry_out(store, preview())["products"]["reverse"] == 4
    summary = carry_out(store, Compare.of(parse_study(matrix_free()), store))
    assert summary["products"]["differentiated"] == 4
    assert summary["lds"]["b"]["mean"] > 0
    summary = carry_out(store, Compare.of(parse_study(prior()), store))
    assert [entry["name"] for entry in summary["estimators"]] == ["ridge", "metagradient"]
    assert summary["estimators"][1]["b"]["mean"] > 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"optimizer": "RMSprop", "optimizer_arguments": {"lr": 0.1}},
            r"recipe.optimizer: expected SGD, Adam or AdamW",
        ),
        ({"network": "tiny_nets:Random"}, r"recipe.network: .*layers nn.Dropout alone"),
    ],
)
def test_what_cannot_be_differentiated_is_refused_with_its_key(changes: dict[str, Any], words: str) -> None:
    wrong = {"algorithm_b": side("other", **changes)}
    asked = {**TINY["regression"], "estimator": "ridge", "also": ["metagradient"]}
    contrast = {"method": "contrast", "components": 2, "draws": 20}
    experiments = (
        preview(**wrong),
        Compare.of(parse_study({**matrix_free(), **wrong}), local("memory://")),
        Compare.of(parse_study({**STUDY, **wrong, "regression": asked, "comparison": contrast}), local("memory://")),
    )
    for experiment in experiments:
        with pytest.raises(ConfigError, match=rf"^algorithm_b\.{words}"):
            experiment.check()
