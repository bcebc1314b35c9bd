"""Networks with batch normalization trained together are those that are trained one by one, statistics included."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from torch import Tensor

from modeldiff_core.data import Dataset
from modeldiff_core.data.digits import Digits
from modeldiff_core.models.batch_norm_stacks import SideBySide
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training.augmentations import Flip, Translate
from modeldiff_core.training.crops import Resize
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.shards import output_of
from modeldiff_core.training.trained import NetworkModels

RESNET9 = Sgd(
    network=Network("resnet9", (4, 8, 8, 8)),
    epochs=5,
    batch_size=16,
    learning_rate=0.1,
    augmentations=(Resize(height=12, width=12),),
)
MODELS = [0, 5, 2]
TOGETHER = Execution(stack=3, stack_batch_norm=True)


@cache
def digits() -> Dataset:
    return Digits(n_train=300, n_test=100).load()


def trained(recipe: Sgd, execution: Execution, models: list[int] = MODELS) -> NetworkModels:
    masks = SubsetSampler(300, 0.5, 0).masks(range(8))
    out = recipe.train(digits().train, 10, masks[models], models, 0, execution)
    assert isinstance(out, NetworkModels)
    return out


def margins(models: NetworkModels) -> np.ndarray:
    return output_of("margin", models.logits(digits().test.images), digits().test.labels)


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many models each step took together."""
    seen: list[int] = []
    original = SideBySide.logits

    def counted(self: SideBySide, parameters: dict[str, Tensor], images: Tensor) -> object:
        seen.append(len(images))
        return original(self, parameters, images)

    monkeypatch.setattr(SideBySide, "logits", counted)
    return seen


@pytest.mark.parametrize(
    "recipe",
    [
        RESNET9,
        replace(RESNET9, augmentations=(*RESNET9.augmentations, Translate(), Flip(probability=0.2)), mean="subset"),
        # at a rate of 0.2 rounding grows with every step on some processors
        replace(RESNET9, label_smoothing=0.1, schedule="cosine", weight_decay=0.005, learning_rate=0.15),
    ],
    ids=["plain", "augmented", "decayed"],
)
def test_one_by_one_and_together_agree(recipe: Sgd, launches: list[int]) -> None:
    alone = trained(recipe, Execution(stack=3))
    assert not launches, "without a measurement each is trained alone"
    together = trained(recipe, TOGETHER)
    assert set(launches) == {3}
    expected = margins(alone)
    assert (expected > 0).mean() > 0.3
    assert expected.std(0).max() > 0.3, "the models should differ"
    np.testing.assert_allclose(margins(together), expected, atol=1e-4)
    moved = together.weights()["residual2.0.1.running_var"]
    assert np.abs(moved - 1).max() > 0.1
    assert np.abs(moved[0] - moved[1]).max() > 1e-3, "each model has statistics of its own"
    for name, value in alone.weights().items():
        np.testing.assert_allclose(together.weights()[name], value, atol=1e-4, rtol=1e-4)


def test_grouped_convolutions_train_the_same_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU. Their sums are of another order, and in time that decides a maximum of equals: 10 steps only."""
    recipe = replace(RESNET9, epochs=1, learning_rate=0.03)
    start, alone = (margins(trained(r, Execution())) for r in (replace(recipe, learning_rate=1e-9), recipe))
    monkeypatch.setattr(SideBySide, "logits", SideBySide._grouped)
    assert np.abs(alone - start).max() > 0.01
    np.testing.assert_allclose(margins(trained(recipe, TOGETHER)), alone, atol=1e-4)


def test_stored_weights_hold_the_statistics_and_give_the_same_logits(tmp_path: Path) -> None:
    models = trained(replace(RESNET9, epochs=1), TOGETHER)
    save_file(models.weights(), tmp_path / "shard.safetensors")
    weights = load_file(tmp_path / "shard.safetensors")
    statistics = [name for name in weights if name.endswith(("running_mean", "running_var"))]
    assert len(statistics) == 16
    assert weights["first.1.running_mean"].shape == (3, 4)
    images = digits().test.images
    loaded = RESNET9.load(weights, (8, 8, 1), 10, Execution())
    np.testing.assert_array_equal(loaded.logits(images), models.logits(images))
    fresh = {name: np.zeros_like(v) if name.endswith("mean") else v for name, v in weights.items()}
    assert np.abs(RESNET9.load(fresh, (8, 8, 1), 10, Execution()).logits(images) - models.logits(images)).max() > 0.01


@pytest.mark.parametrize("trainable", ["last_block", "head"])
def test_frozen_layers_keep_their_statistics(tmp_path: Path, trainable: str, launches: list[int]) -> None:
    start = trained(RESNET9, Execution(), [7]).weights()
    save_file({name: np.ascontiguousarray(value[0]) for name, value in start.items()}, tmp_path / "b.safetensors")
    network = replace(RESNET9.network, init=str(tmp_path / "b.safetensors"), trainable=trainable)
    recipe = replace(RESNET9, network=network, epochs=2, augmentations=(*RESNET9.augmentations, Flip()))
    alone, together = (trained(recipe, way) for way in (Execution(), TOGETHER))
    assert launches
    np.testing.assert_allclose(margins(together), margins(alone), atol=1e-4)
    tuned = together.weights()
    moved = {name for name, value in start.items() if not np.array_equal(tuned[name], value.repeat(3, 0))}
    free = ("head.",) if trainable == "head" else ("head.", "residual2.", "last.")
    assert moved == {name for name in start if name.startswith(free)}


def test_models_do_not_depend_on_the_launch() -> None:
    recipe = replace(RESNET9, epochs=2)
    three, two = trained(recipe, TOGETHER), trained(recipe, replace(TOGETHER, stack=2))
    np.testing.assert_allclose(margins(two), margins(three), atol=1e-4)
    np.testing.assert_allclose(margins(trained(recipe, TOGETHER, [2, 0])), margins(three)[[2, 0]], atol=1e-4)
