"""Stacked training: each model is the one that plain PyTorch would have trained alone."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.digits import Digits
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.margins import correct_class_margin
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training.augmentations import Augmentation, Erase, Flip, Noise, Translate
from modeldiff_core.training.protocol import Algorithm, Execution
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.trained import NetworkModels

MLP = Sgd(network=Network("mlp", (32,)), epochs=10, batch_size=48)
CNN = Sgd(network=Network("cnn", (4, 8)), epochs=10, batch_size=48)
BOTH = pytest.mark.parametrize("recipe", [MLP, CNN], ids=["mlp", "cnn"])
WAYS = pytest.mark.parametrize("native", [True, False], ids=["compiled", "torch"])


@cache
def digits() -> Dataset:
    return Digits(n_train=500, n_test=200).load()


@cache
def masks() -> np.ndarray:
    return SubsetSampler(500, 0.5, 0).masks(range(64))


def trained(
    recipe: Sgd, models: list[int], stack: int = 64, examples: Examples | None = None, native: bool = True
) -> NetworkModels:
    execution = Execution(stack=stack, native=native)
    return recipe.train(examples or digits().train, 10, masks()[models], models, 0, execution)


def margins(models: NetworkModels) -> np.ndarray:
    logits = torch.from_numpy(models.logits(digits().test.images))
    return correct_class_margin(logits, torch.from_numpy(digits().test.labels)).numpy()


def augmented(images: torch.Tensor, augmentations: tuple[Augmentation, ...], draws: np.ndarray) -> torch.Tensor:
    """The augmentations one image after another, each with its own slice of the image's draws."""
    out = []
    for image, row in zip(images, torch.from_numpy(draws), strict=True):
        x, at = image[None], 0
        for augmentation in augmentations:
            n = augmentation.n_draws(*x.shape[1:])
            x = augmentation(x, row[None, at : at + n])
            at += n
        out.append(x)
    return torch.cat(out)


def reference(recipe: Sgd, examples: Examples, mask: np.ndarray, model: int, seed: int) -> nn.Sequential:
    """The model as torch.nn, torch.optim.SGD and nn.CrossEntropyLoss train it, schedule in closed form."""
    height, width, channels = examples.images.shape[1:]
    layers: list[nn.Module] = []
    if recipe.network.kind == "mlp":
        layers.append(nn.Flatten())
        features = height * width * channels
        for units in recipe.network.widths:
            layers += [nn.Linear(features, units), nn.ReLU()]
            features = units
    else:
        for units in recipe.network.widths:
            layers += [nn.Conv2d(channels, units, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            height, width, channels = height // 2, width // 2, units
        layers.append(nn.Flatten())
        features = height * width * channels
    net = nn.Sequential(*layers, nn.Linear(features, 10))
    rng = generator("initialisation", seed, model)
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                assert layer.bias is not None
                bound = layer.weight[0].numel() ** -0.5
                stored = layer.weight.T if isinstance(layer, nn.Linear) else layer.weight
                stored.copy_(torch.from_numpy(rng.uniform(-bound, bound, tuple(stored.shape)).astype(np.float32)))
                layer.bias.copy_(torch.from_numpy(rng.uniform(-bound, bound, len(layer.bias)).astype(np.float32)))
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    members = np.flatnonzero(mask)
    starts = range(0, len(members), recipe.batch_size)
    steps, step = recipe.epochs * len(starts), 0
    n_draws = sum(augmentation.n_draws(*examples.images.shape[1:]) for augmentation in recipe.augmentations)
    for epoch in range(recipe.epochs):
        order = generator("order", seed, model, epoch).permutation(members)
        draws = generator("augmentation", seed, model, epoch).random((len(members), n_draws), dtype=np.float32)
        for start in starts:
            index = order[start : start + recipe.batch_size]
            x = torch.from_numpy(examples.images[index]).float() / 255
            x = augmented(x, recipe.augmentations, draws[start : start + recipe.batch_size])
            x = (x - recipe.mean) / recipe.scale
            x = x.permute(0, 3, 1, 2) if recipe.network.kind == "cnn" else x
            at = (step + 0.5) / steps
            share = {
                "constant": 1.0,
                "cosine": float(np.cos(np.pi * step / (2 * steps)) ** 2),
                "triangular": float(np.interp(at, [0, recipe.peak, 1], [0, 1, 0])),
            }
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * share[recipe.schedule]
            optimizer.zero_grad()
            criterion(net(x), torch.from_numpy(examples.labels[index])).backward()
            optimizer.step()
            step += 1
    return net.eval()


@WAYS
@pytest.mark.parametrize(
    "recipe",
    [
        replace(MLP, epochs=3),
        replace(MLP, epochs=3, network=Network("mlp", (20, 12)), schedule="cosine", weight_decay=0.05),
        replace(MLP, epochs=3, momentum=0.0, schedule="constant", label_smoothing=0.2, mean=0.1, scale=0.7),
        replace(MLP, epochs=2, augmentations=(Flip(), Translate(pixels=2), Erase(height=3, width=2), Noise())),
        replace(CNN, epochs=2, learning_rate=0.2),
        replace(CNN, epochs=2, schedule="cosine", label_smoothing=0.1, augmentations=(Translate(), Flip())),
    ],
    ids=["mlp", "deep-cosine-decay", "plain-smoothed", "augmented", "cnn", "cnn-augmented"],
)
def test_a_model_is_the_one_that_plain_torch_trains(recipe: Sgd, native: bool) -> None:
    """250 examples in batches of 48: five full ones and one of 10 in each epoch."""
    examples, seed, models = digits().train, 5, [3, 40]
    assert isinstance(recipe, Algorithm)
    got = recipe.train(examples, 10, masks()[models], models, seed, Execution(native=native))
    images = digits().test.images
    logits = got.logits(images)
    x = (torch.from_numpy(images).float() / 255 - recipe.mean) / recipe.scale
    for row, model in enumerate(models):
        net = reference(recipe, examples, masks()[model], model, seed)
        expected = net(x.permute(0, 3, 1, 2) if recipe.network.kind == "cnn" else x).detach().numpy()
        untrained = reference(replace(recipe, learning_rate=1e-12), examples, masks()[model], model, seed)
        before = untrained(x.permute(0, 3, 1, 2) if recipe.network.kind == "cnn" else x).detach().numpy()
        assert np.abs(expected - before).max() > 0.05
        np.testing.assert_allclose(logits[row], expected, atol=1e-5, rtol=1e-5)


@BOTH
def test_models_do_not_depend_on_the_stack(recipe: Sgd) -> None:
    """Stacks of torch agree to rounding, and models of compiled code have the same bits however many there are."""
    together = margins(trained(recipe, list(range(64)), native=False))
    accuracy = (together > 0).mean()
    assert accuracy > 0.6, "the models should have learned something"
    assert together.std(0).max() > 0.5, "the models should differ"
    for model in (0, 17, 63):
        alone = margins(trained(recipe, [model], 1, native=False))
        np.testing.assert_allclose(alone[0], together[model], atol=1e-4)
    some = [40, 3, 17, 63, 5]
    np.testing.assert_allclose(margins(trained(recipe, some, native=False)), together[some], atol=1e-4)
    np.testing.assert_allclose(margins(trained(recipe, some, stack=2, native=False)), together[some], atol=1e-4)
    compiled = margins(trained(recipe, some))
    np.testing.assert_allclose(compiled, together[some], atol=1e-4)
    np.testing.assert_array_equal(margins(trained(recipe, some[1:3], stack=1)), compiled[1:3])
    np.testing.assert_array_equal(margins(trained(recipe, some, stack=2)), compiled)


def test_models_do_not_depend_on_the_stack_under_augmentation() -> None:
    recipe = replace(MLP, epochs=4, augmentations=(Translate(), Noise()))
    together = margins(trained(recipe, list(range(8)), native=False))
    assert np.abs(together - margins(trained(replace(recipe, augmentations=()), list(range(8))))).max() > 0.1
    np.testing.assert_allclose(margins(trained(recipe, [6], 1, native=False))[0], together[6], atol=1e-4)
    np.testing.assert_allclose(margins(trained(recipe, [6]))[0], together[6], atol=1e-4)


@WAYS
@BOTH
def test_seed_and_number_make_a_model_and_repeating_changes_nothing(recipe: Sgd, native: bool) -> None:
    recipe = replace(recipe, epochs=2)
    mask = np.repeat(masks()[:1], 3, 0)
    first = recipe.train(digits().train, 10, mask, [0, 1, 0], 0, Execution(native=native)).weights()
    again = recipe.train(digits().train, 10, mask, [0, 1, 0], 0, Execution(native=native)).weights()
    other = recipe.train(digits().train, 10, mask, [0, 1, 0], 1, Execution(native=native)).weights()
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
        np.testing.assert_array_equal(value[0], value[2])
        assert not np.allclose(value[0], value[1])
        assert not np.allclose(value, other[name])


@BOTH
def test_images_left_out_have_no_influence(recipe: Sgd) -> None:
    recipe = replace(recipe, epochs=2, augmentations=(Translate(), Noise()))
    models = [0, 1, 2]
    seen = masks()[models].any(0)
    assert 20 < (~seen).sum() < 200
    rng = np.random.default_rng(0)
    images, labels = digits().train.images.copy(), digits().train.labels.copy()
    images[~seen] = rng.integers(256, size=images[~seen].shape)
    labels[~seen] = rng.integers(10, size=labels[~seen].shape)
    clean = trained(recipe, models).weights()
    garbage = trained(recipe, models, examples=Examples(images, labels)).weights()
    for name, value in clean.items():
        np.testing.assert_array_equal(value, garbage[name])
    images[np.flatnonzero(seen)[0]] = 255
    touched = trained(recipe, models, examples=Examples(images, labels)).weights()
    assert not all(np.array_equal(value, touched[name]) for name, value in clean.items())


@WAYS
@BOTH
def test_a_diverging_model_leaves_its_neighbors_alone(recipe: Sgd, native: bool) -> None:
    """With pixels divided by 10⁻³⁰ a model that sees any light overflows; one that sees black images does not."""
    recipe = replace(recipe, epochs=2, mean=0.0, scale=1e-30)
    images = np.zeros((80, 8, 8, 1), np.uint8)
    images[:40] = 255
    examples = Examples(images, np.arange(80) % 10)
    dark = np.zeros((3, 80), bool)
    for row in range(3):
        dark[row, 40 + row : 70 + row] = True
    light = dark.copy()
    light[1] = np.roll(dark[1], -40)
    calm = recipe.train(examples, 10, dark, [0, 1, 2], 0, Execution(native=native)).weights()
    wild = recipe.train(examples, 10, light, [0, 1, 2], 0, Execution(native=native)).weights()
    assert not all(np.isfinite(value[1]).all() for value in wild.values())
    for name, value in calm.items():
        assert np.isfinite(value).all()
        np.testing.assert_array_equal(wild[name][[0, 2]], value[[0, 2]])
    assert np.ptp(calm["1.bias" if "1.bias" in calm else "head.bias"][0]) > 0.01


@BOTH
def test_stored_weights_give_the_same_logits(recipe: Sgd) -> None:
    models = trained(replace(recipe, epochs=2), [4, 9])
    images = digits().test.images
    weights = {name: value.copy() for name, value in models.weights().items()}
    assert all(value.dtype == np.float32 and len(value) == 2 for value in weights.values())
    loaded = recipe.load(weights, (8, 8, 1), 10, Execution())
    np.testing.assert_array_equal(loaded.logits(images), models.logits(images))
    second = recipe.load({name: value[1:] for name, value in weights.items()}, (8, 8, 1), 10, Execution())
    np.testing.assert_allclose(second.logits(images)[0], models.logits(images)[1], atol=1e-5)


@pytest.mark.parametrize("images_at_once", [7, 199])
def test_evaluation_in_slices_is_evaluation_at_once(monkeypatch: pytest.MonkeyPatch, images_at_once: int) -> None:
    models = trained(replace(CNN, epochs=1), [0, 1, 2])
    images = digits().test.images
    whole = models.logits(images)
    monkeypatch.setattr("modeldiff_core.training.trained.EVALUATION_PIXELS", 3 * 64 * images_at_once)
    np.testing.assert_allclose(models.logits(images), whole, atol=1e-5)
    assert whole.shape == (3, 200, 10)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MLP.train(digits().train, 10, masks()[:1], [0], 0, Execution(device=device))
    assert caught.value.key == "runner.devices"


def test_a_device_that_does_not_exist() -> None:
    with pytest.raises(ConfigError) as caught:
        MLP.load({"0.weight": np.zeros((1, 64, 10), np.float32)}, (8, 8, 1), 10, Execution(device="gpu0"))
    assert caught.value.key == "runner.devices"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@BOTH
def test_models_do_not_depend_on_the_stack_on_a_gpu(recipe: Sgd) -> None:
    def on_gpu(models: list[int]) -> np.ndarray:
        return margins(recipe.train(digits().train, 10, masks()[models], models, 0, Execution("cuda", 64)))

    together = on_gpu(list(range(64)))
    np.testing.assert_allclose(on_gpu([17])[0], together[17], atol=1e-3)
    np.testing.assert_allclose(margins(trained(recipe, [17]))[0], together[17], atol=1e-3)


def test_subsets_of_unequal_size_are_refused() -> None:
    unequal = masks()[:2].copy()
    unequal[1, np.flatnonzero(unequal[1])[0]] = False
    with pytest.raises(ConfigError, match=r"masks: expected rows that leave the same number .* got \[250, 249\]"):
        MLP.train(digits().train, 10, unequal, [0, 1], 0, Execution())


@pytest.mark.parametrize("models", [[0, 1], []])
def test_subsets_without_examples_and_no_subsets_are_refused(models: list[int]) -> None:
    with pytest.raises(ConfigError) as caught:
        MLP.train(digits().train, 10, np.zeros((len(models), 500), bool), models, 0, Execution())
    assert caught.value.key == "masks"
