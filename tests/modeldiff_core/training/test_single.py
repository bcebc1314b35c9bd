"""One-by-one training: the same models as stacked, batch normalization, fine-tuning, precision."""

import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.digits import Digits
from modeldiff_core.errors import ConfigError
from modeldiff_core.models import ARCHITECTURES
from modeldiff_core.models.initial import plain_state
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training.augmentations import Flip, Translate
from modeldiff_core.training.crops import Resize
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.shards import output_of
from modeldiff_core.training.trained import NetworkModels

LARGER = (Resize(height=12, width=12),)
RESNET9 = Sgd(
    network=Network("resnet9", (4, 8, 8, 8)), epochs=10, batch_size=16, learning_rate=0.3, augmentations=LARGER
)


@cache
def digits() -> Dataset:
    return Digits(n_train=300, n_test=200).load()


@cache
def masks() -> np.ndarray:
    return SubsetSampler(300, 0.5, 0).masks(range(8))


def trained(
    recipe: Sgd, models: list[int], stack: int = 1, examples: Examples | None = None, native: bool = False
) -> NetworkModels:
    execution = Execution(stack=stack, native=native)
    models_ = recipe.train(examples or digits().train, 10, masks()[models], models, 0, execution)
    assert isinstance(models_, NetworkModels)
    return models_


def margins(models: NetworkModels) -> np.ndarray:
    return output_of("margin", models.logits(digits().test.images), digits().test.labels)


@pytest.mark.parametrize(
    "recipe",
    [
        Sgd(network=Network("mlp", (32,)), epochs=8, batch_size=16),
        Sgd(
            network=Network("mlp", (16, 8)), epochs=8, batch_size=16, augmentations=(Translate(), Flip(probability=0.1))
        ),
        Sgd(network=Network("cnn", (4, 8)), epochs=12, batch_size=16, label_smoothing=0.1),
        Sgd(network=Network("cnn", (4,)), epochs=8, batch_size=16, mean="subset", scale="subset"),
        Sgd(network=Network("lenet"), epochs=8, batch_size=16, augmentations=LARGER, learning_rate=0.08),
        Sgd(network=Network("cnn", (8, 16), trainable="last_block"), epochs=12, batch_size=16),
    ],
    ids=["mlp", "mlp-augmented", "cnn", "cnn-own-statistics", "lenet", "cnn-last-block"],
)
def test_one_by_one_stacked_and_compiled_training_agree(recipe: Sgd) -> None:
    together, alone = trained(recipe, [0, 1, 5], stack=8), trained(recipe, [0, 1, 5], stack=1)
    compiled = trained(recipe, [0, 1, 5], native=True)
    assert (margins(together) > 0).mean() > 0.3
    assert margins(together).std(0).max() > 0.3, "the models should differ"
    for other in (alone, compiled):
        np.testing.assert_allclose(margins(other), margins(together), atol=1e-4)
        for name, value in together.weights().items():
            np.testing.assert_allclose(other.weights()[name], value, atol=1e-4)


def test_a_network_with_batch_normalization_learns_and_is_evaluated_by_its_running_statistics() -> None:
    models = trained(RESNET9, [0, 1])
    logits = models.logits(digits().test.images)
    accuracy = (logits.argmax(-1) == digits().test.labels).mean()
    assert accuracy > 0.7
    alone = models.logits(digits().test.images[:1])
    np.testing.assert_allclose(alone[:, 0], logits[:, 0], atol=1e-4)
    assert np.abs(models.weights()["first.1.running_mean"][0]).max() > 0.01


def test_a_model_is_the_one_that_torch_s_own_loop_trains() -> None:
    """The same order and start, torch.optim.SGD, a plain loop: batch normalization included."""
    recipe = replace(RESNET9, epochs=2, schedule="constant", learning_rate=0.1)
    start = trained(replace(recipe, learning_rate=1e-30, momentum=0.0, weight_decay=0.0), [3]).weights()
    net = ARCHITECTURES.get("resnet9").build((12, 12, 1), (4, 8, 8, 8), 10)
    net.load_state_dict({n: torch.from_numpy(v[0]) for n, v in start.items() if "running" not in n}, strict=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=recipe.weight_decay)
    images = F.interpolate(torch.from_numpy(digits().train.images).permute(0, 3, 1, 2) / 255, (12, 12), mode="bilinear")
    from modeldiff_core.identity import generator

    for epoch in range(2):
        order = generator("order", 0, 3, epoch).permutation(np.flatnonzero(masks()[3]))
        for at in range(0, 150, 16):
            index = order[at : at + 16]
            loss = F.cross_entropy(net((images[index] - 0.5) / 0.5), torch.from_numpy(digits().train.labels[index]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    got = trained(recipe, [3]).weights()
    for name, value in plain_state(net).items():
        np.testing.assert_allclose(got[name][0], value.numpy(), atol=2e-3)
        assert not np.allclose(value.numpy(), start[name][0], atol=5e-3), f"{name} should have moved"


def test_models_follow_from_seed_and_number_and_not_from_those_before() -> None:
    recipe = replace(RESNET9, epochs=1)
    both, second, again = trained(recipe, [0, 1]), trained(recipe, [1]), trained(recipe, [0, 1])
    for name, value in both.weights().items():
        np.testing.assert_array_equal(value, again.weights()[name])
        np.testing.assert_array_equal(value[1], second.weights()[name][0])
    assert not np.allclose(both.weights()["head.weight"][0], both.weights()["head.weight"][1])


def test_weights_round_trip_through_safetensors(tmp_path: Path) -> None:
    recipe = replace(RESNET9, epochs=1, mean="subset", test_time="flip")
    models = trained(recipe, [0, 1])
    save_file(models.weights(), tmp_path / "shard.safetensors")
    weights = load_file(tmp_path / "shard.safetensors")
    assert all(value.dtype == np.float32 and len(value) == 2 for value in weights.values())
    loaded = recipe.load(weights, (8, 8, 1), 10, Execution())
    images = digits().test.images
    np.testing.assert_array_equal(loaded.logits(images), models.logits(images))


@pytest.fixture
def backbone(tmp_path: Path) -> str:
    """A resnet9 trained on all digits for a while."""
    recipe = replace(RESNET9, epochs=3)
    mask = np.ones((1, 300), bool)
    weights = recipe.train(digits().train, 10, mask, [99], 7, Execution()).weights()
    save_file({name: np.ascontiguousarray(value[0]) for name, value in weights.items()}, tmp_path / "b.safetensors")
    return str(tmp_path / "b.safetensors")


@pytest.mark.parametrize("trainable", ["last_block", "head"])
def test_fine_tuning_leaves_frozen_layers_as_they_were(backbone: str, trainable: str) -> None:
    network = Network("resnet9", (4, 8, 8, 8), init=backbone, trainable=trainable)
    recipe = replace(RESNET9, network=network, epochs=2, learning_rate=0.1, augmentations=(*LARGER, Flip()))
    tuned = trained(recipe, [0, 1]).weights()
    before = load_file(backbone)
    moved = {name for name, value in before.items() if not np.array_equal(tuned[name], np.stack([value, value]))}
    free = ("head.",) if trainable == "head" else ("head.", "residual2.", "last.")
    assert moved == {name for name in before if name.startswith(free)}


def test_features_computed_once_train_the_heads_of_the_slow_way(backbone: str) -> None:
    network = Network("resnet9", (4, 8, 8, 8), init=backbone, trainable="head")
    fast = replace(RESNET9, network=network, epochs=5, learning_rate=0.2)
    # A flip that never happens makes the backbone see a fresh image each time, as far as the trainer knows.
    slow = replace(fast, augmentations=(*LARGER, Flip(probability=0.0)))
    quick = fast.train(digits().train, 10, masks()[:3], range(3), 0, Execution())
    heads = quick.weights()
    assert set(heads) == {"head.weight"}
    whole = trained(slow, [0, 1, 2])
    logits = quick.logits(digits().test.images)
    untouched = load_file(backbone)["head.weight"]
    assert np.abs(heads["head.weight"][0].T - untouched).max() > 0.01
    np.testing.assert_allclose(heads["head.weight"].transpose(0, 2, 1), whole.weights()["head.weight"], atol=1e-4)
    np.testing.assert_allclose(logits, whole.logits(digits().test.images), atol=1e-4)
    again = fast.load(heads, (8, 8, 1), 10, Execution())
    np.testing.assert_array_equal(again.logits(digits().test.images), logits)
    flipped = replace(fast, test_time="flip").load(heads, (8, 8, 1), 10, Execution()).logits(digits().test.images)
    mirrored = np.ascontiguousarray(digits().test.images[:, :, ::-1])
    np.testing.assert_allclose(flipped, (logits + again.logits(mirrored)) / 2, atol=1e-4)


def test_features_are_computed_once_a_process(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from modeldiff_core.training import features

    calls: list[int] = []
    original = features.Backbone._computed
    monkeypatch.setattr(features.Backbone, "_computed", lambda self, *args: calls.append(1) or original(self, *args))
    network = Network("resnet9", (4, 8, 8, 8), init=backbone, trainable="head")
    recipe = replace(RESNET9, network=network, epochs=1, mean=0.4)
    for first in (0, 3):
        models = recipe.train(digits().train, 10, masks()[:3], range(first, first + 3), 0, Execution())
        models.logits(digits().test.images.copy())
    assert len(calls) == 2, "once for the training images and once for the targets"


def test_a_start_from_weights_is_another_algorithm_for_other_weights(backbone: str) -> None:
    first = Network("resnet9", (4, 8, 8, 8), init=backbone)
    assert len(first.init_sha256) == 64
    content = load_file(backbone)
    content["head.weight"] = content["head.weight"] + 1
    time.sleep(0.05)  # the file system's clock ticks
    save_file(content, backbone)
    assert Network("resnet9", (4, 8, 8, 8), init=backbone).init_sha256 != first.init_sha256
    with pytest.raises(ConfigError) as caught:
        Network("resnet9", (4, 8, 8, 8), init=backbone, init_sha256=first.init_sha256)
    assert caught.value.key == "recipe.network.init_sha256"


@pytest.mark.parametrize("stack", [1, 8])
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_bfloat16_is_near_float32_and_evaluated_in_float32(kind: str, stack: int) -> None:
    recipe = Sgd(network=Network(kind, (16,)), epochs=8, batch_size=32)
    exact, rounded = (trained(replace(recipe, precision=p), [0, 1], stack) for p in ("float32", "bfloat16"))
    a, b = margins(exact), margins(rounded)
    assert (a > 0).mean() > 0.7
    assert 1e-4 < np.abs(a - b).mean() < 0.1 * a.std()
    assert all(value.dtype == np.float32 for value in rounded.weights().values())
    logits = rounded.logits(digits().test.images)
    coarse = torch.from_numpy(logits).bfloat16().float().numpy()
    assert (logits != coarse).mean() > 0.9, "bfloat16 logits would have 8 bits"


def test_statistics_of_a_subset_are_those_of_its_own_pixels() -> None:
    recipe = Sgd(network=Network("mlp", (4,)), epochs=1, mean="subset", scale="subset")
    weights = trained(recipe, [0, 1], stack=8).weights()
    for row in range(2):
        pixels = digits().train.images[masks()[row]] / 255
        np.testing.assert_allclose(weights["normalisation.mean"][row], pixels.mean((0, 1, 2)), rtol=1e-5)
        np.testing.assert_allclose(weights["normalisation.scale"][row], pixels.std((0, 1, 2)), rtol=1e-5)
    images = digits().train.images.copy()
    images[~masks()[:2].any(0)] = 255
    other = trained(recipe, [0, 1], stack=8, examples=Examples(images, digits().train.labels)).weights()
    for name, value in weights.items():
        np.testing.assert_array_equal(other[name], value)


def test_test_time_flip_averages_an_image_and_its_mirror_image() -> None:
    recipe = Sgd(network=Network("cnn", (4,)), epochs=2, batch_size=32)
    plain, flip = trained(recipe, [0, 1], 8), trained(replace(recipe, test_time="flip"), [0, 1], 8)
    images = digits().test.images
    straight, mirrored = plain.logits(images), plain.logits(np.ascontiguousarray(images[:, :, ::-1]))
    assert np.abs(straight - mirrored).max() > 0.1
    np.testing.assert_allclose(flip.logits(images), (straight + mirrored) / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"kind": "resnet9"}, "recipe.network.kind"),
        ({"kind": "resnet18"}, "recipe.network.kind"),
        ({"kind": "lenet"}, "recipe.network.kind"),
        ({"kind": "cnn", "widths": (2,) * 4}, "recipe.network.widths"),
    ],
)
def test_digits_are_too_small_for_some_architectures(change: dict[str, object], key: str) -> None:
    recipe = Sgd(network=Network(**change))
    with pytest.raises(ConfigError) as caught:
        recipe.check((8, 8, 1), 10)
    assert caught.value.key == key
    replace(recipe, augmentations=(Resize(height=32, width=32),)).check((8, 8, 1), 10)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Network("mlp", ()), "recipe.network.widths"),
        (lambda: Network("resnet9", (4, 8)), "recipe.network.widths"),
        (lambda: Network("resnet18", (64,)), "recipe.network.widths"),
        (lambda: Network("mlp", init="no/such/file.pt"), "recipe.network.init"),
        (lambda: Network("resnet18", init="imagenet"), "recipe.network.init"),
        (lambda: Network("mlp", init_sha256="00"), "recipe.network.init_sha256"),
        (lambda: Sgd(scale=(0.2, 0.0)), "recipe.scale"),
        (lambda: Sgd(mean=(0.1, 0.2)).check((8, 8, 1), 10), "recipe.mean"),
        (lambda: trained(replace(RESNET9, batch_size=149), [0]), "recipe.batch_size"),
    ],
)
def test_settings_that_cannot_be_are_named(make: object, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()  # type: ignore[operator]
    assert caught.value.key == key


def test_a_checkpoint_of_another_architecture_is_found_by_the_check(tmp_path: Path) -> None:
    path = tmp_path / "lenet.safetensors"
    lenet = ARCHITECTURES.get("lenet").build((12, 12, 1), (), 10)
    save_file({name: value.detach().numpy() for name, value in lenet.state_dict().items()}, path)
    right, wrong = (Sgd(network=Network(kind, init=str(path)), augmentations=LARGER) for kind in ("lenet", "cnn"))
    right.check((8, 8, 1), 10)
    with pytest.raises(ConfigError) as caught:
        wrong.check((8, 8, 1), 10)
    assert caught.value.key == "recipe.network.init"
