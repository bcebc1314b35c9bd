"""The shipped studies: the components of the true architectures, and each study at a tiny width through every verb."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modeldiff_core.ablation import find_components
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.components.experiment import ComponentAttribution
from modeldiff_core.experiments.components.settings import ComponentsStudy
from modeldiff_core.experiments.run import open_experiment
from modeldiff_core.models import architecture_of
from modeldiff_core.models.gpt2 import Gpt2, Gpt2Sizes
from modeldiff_core.plan import survey, verify
from modeldiff_core.store import ObjectStore
from modeldiff_platform.flows.cli.compose import request
from tests.modeldiff_core.experiments.components.studies import make

STORED = ("dataset.folder=/x", "algorithm.recipe.network.init=/x")
TRUE = {"cifar10_resnet18": 2304, "imagenet_resnet50": 22720, "vit_b16": 82944}
DIGITS = ("dataset=digits", "dataset.n_train=40", "dataset.n_test=12", "algorithm.recipe.mean=0.5")
UNTRAINED = (*DIGITS, "algorithm.recipe.scale=0.5", "weights=random", "algorithm.recipe.network.init=random")
RESIZED = "algorithm.recipe.augmentations=[{{kind: resize, height: {0}, width: {0}}}]"
TINY: dict[str, tuple[str, ...]] = {
    "digits": ("dataset.n_train=100", "dataset.n_test=12", "algorithm.recipe.network.widths=[3,4]"),
    "fashion": ("dataset=digits", "dataset.n_train=100", "dataset.n_test=12", "algorithm.recipe.network.widths=[3,4]"),
    "cifar10_resnet18": (*UNTRAINED, "algorithm.recipe.network.widths=[2]"),
    "imagenet_resnet50": (*UNTRAINED, "algorithm.recipe.network.widths=[2,2,2,2]", RESIZED.format(32)),
    "vit_b16": (*UNTRAINED, "algorithm.recipe.network.widths=[4]", RESIZED.format(16)),
    "gpt2": (
        "language.weights=''",
        "language.blocks=2",
        "language.width=8",
        "language.heads=2",
        "language.vocabulary=30",
    ),
}
SOME = {
    "imagenet_resnet50": "components=[{kind: filters, pattern: '(layer4[.]2[.])?conv[0-9]'}]",
    "vit_b16": "components=[{kind: rows, pattern: 'layers[.](0|11)[.].*'}]",
}
"""Some layers of the largest, for tests that take no minutes."""
FEW = ("attributed=5", "ablation.rows=40", "ablation.test_rows=10", "ablation.shard_size=40", "ablation.tests=[0.2]")


def study(name: str, *overrides: str) -> ComponentsStudy:
    found = request([f"study=components_{name}", *overrides]).study
    assert isinstance(found, ComponentsStudy)
    return found


def tiny(name: str, folder: Path, *overrides: str) -> tuple[ComponentAttribution, ObjectStore]:
    asked = [*TINY[name], *FEW, "ablation.alpha=0.2", *overrides]
    if name == "gpt2":
        rng = np.random.default_rng(0)
        folder.mkdir(exist_ok=True)
        np.savez(folder / "tokens.npz", tokens=rng.integers(0, 30, (8, 9)), lengths=rng.integers(2, 10, 8))
        asked += [f"language.tokens={folder / 'tokens.npz'}", "language.context=9"]
    experiment, store = open_experiment(study(name, *asked), folder / "store")
    assert isinstance(experiment, ComponentAttribution)
    return experiment, store


@pytest.mark.parametrize("name", TRUE)
def test_components_of_the_true_architectures_are_counted_without_values(name: str) -> None:
    asked = study(name, *STORED)
    assert asked.algorithm is not None
    network = asked.algorithm.recipe["network"]
    architecture = architecture_of(network["kind"])
    shape = (32, 32, 3) if name == "cifar10_resnet18" else (224, 224, 3)
    with torch.device("meta"):
        net = architecture.build(shape, architecture.widths, 10 if name == "cifar10_resnet18" else 1000)
    assert len(find_components(net, [one.selection() for one in asked.components])) == TRUE[name]


def test_components_of_gpt2_are_counted_without_values() -> None:
    asked = study("gpt2", "language.tokens=/x", "language.weights=/x")
    assert asked.language is not None
    with torch.device("meta"):
        net = Gpt2(asked.language.sizes())
    assert len(find_components(net, [one.selection() for one in asked.components])) == 64512
    assert asked.language.sizes() == Gpt2Sizes()


def test_shares_and_ablations_are_the_papers() -> None:
    asked = {name: study(name, *STORED).ablation for name in TRUE}
    asked["gpt2"] = study("gpt2", "language.tokens=/x", "language.weights=/x").ablation
    shares = {"cifar10_resnet18": 0.1, "imagenet_resnet50": 0.05, "vit_b16": 0.05, "gpt2": 0.025}
    assert {name: one.alpha for name, one in asked.items()} == shares
    assert {name: one.rows for name, one in asked.items()} == {
        name: 50_000 if "cifar" in name else 100_000 for name in shares
    }


def through_every_verb(name: str, folder: Path, *overrides: str) -> None:
    experiment, store = tiny(name, folder, *overrides)
    assert not survey(experiment, store).complete
    assert name in ("digits", "fashion") or experiment.check()[0].startswith("ablation.rows: 40 ablations")
    make(experiment, store)
    assert survey(experiment, store).complete
    assert verify(experiment, store) == ()
    experiment.redraw(store)
    assert make(experiment, store) == []
    assert "correlate with" in experiment.shown(store).findings[0]
    assert experiment.advice(store)[0].startswith("components: ")


@pytest.mark.parametrize(
    "name", ["gpt2", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("cifar10_resnet18", "vit_b16"))]
)
def test_a_tiny_width_goes_through_every_verb(name: str, tmp_path: Path) -> None:
    through_every_verb(name, tmp_path, *([SOME[name]] if name in SOME else []))


@pytest.mark.nightly
@pytest.mark.parametrize("name", TINY)
def test_all_components_of_a_tiny_width_go_through_every_verb(name: str, tmp_path: Path) -> None:
    through_every_verb(name, tmp_path)


def test_resnet50_has_the_layers_of_its_plain_form() -> None:
    with torch.device("meta"):
        nets = [architecture_of(kind) for kind in ("resnet50", "resnet50_widths")]
        one, other = (net.build((224, 224, 3), net.widths, 10).state_dict() for net in nets)
    assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in other.items()}


def test_gpt2_takes_its_published_names_and_is_causal(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from modeldiff_core.responses.stored_networks import load_published, next_tokens

    sizes = Gpt2Sizes(2, 8, 2, 30, 9)
    source, net = Gpt2(sizes), Gpt2(sizes)
    state = {f"transformer.{name}": value for name, value in source.state_dict().items()}
    load_published(net, {**state, "transformer.h.0.attn.bias": torch.ones(1)})
    tokens = torch.randint(0, 30, (2, 9))
    torch.testing.assert_close(net(tokens), source(tokens))
    changed = tokens.clone()
    changed[:, 5:] = 0
    torch.testing.assert_close(net(changed)[:, :5], net(tokens)[:, :5])
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "weights.safetensors")
    with pytest.raises(
        ConfigError, match=r"language.weights: expected GPT-2's weights \(h.0.mlp.c_fc.weight: \(8, 32\)\)"
    ):
        load_published(net, {**state, "transformer.h.0.mlp.c_fc.weight": torch.ones(3)})
    labels = next_tokens(tokens, torch.tensor([9, 3]))
    assert labels[0].tolist() == [*tokens[0, 1:].tolist(), -1]
    assert labels[1].tolist() == [*tokens[1, 1:3].tolist(), *[-1] * 7]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": None}, "language: expected either dataset and algorithm, or language"),
        ({"weights": "stored"}, "algorithm.recipe.network.init: expected a file with weights"),
        ({"language": {"tokens": "/x"}}, "language: expected either"),
        (
            {
                "dataset": None,
                "algorithm": None,
                "language": {"tokens": "/nowhere"},
                "components": [{"kind": "inputs"}],
            },
            "language.tokens: expected a",
        ),
    ],
)
def test_a_study_says_once_where_its_network_comes_from(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    from tests.modeldiff_core.experiments.components.studies import TINY as STUDY

    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        open_experiment({**STUDY, **changes}, tmp_path)[0].check()
