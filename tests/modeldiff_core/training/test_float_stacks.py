"""Stacks on floats: each network is torch's own training of it, whoever else is trained, from any step on."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import canonical_json, generator, restore
from modeldiff_core.training.attacks import Attack, RisingAttack, Within, perturbed
from modeldiff_core.training.float_stacks import FloatData, FloatRecipe, float_logits, train_floats

RNG = np.random.default_rng(0)
DATA = [
    FloatData(RNG.standard_normal((90, 1, 6, 1)).astype(np.float32), RNG.integers(0, 3, 90), 3, None) for _ in range(3)
]
BASE = FloatRecipe(widths=(8, 5), steps=25, batch_size=20, weight_decay=1e-3)
RECIPES = {
    "sgd": replace(BASE, momentum=0.9),
    "adam": replace(BASE, optimizer="adam", learning_rate=0.01),
    "attacked": replace(BASE, attack=Attack("l2", 0.3, 2, 0.6)),
    "rising": replace(BASE, attack=RisingAttack("l2", 0.5, 2, 0.6, rise=0.6)),
    "dropout": replace(BASE, dropout=0.3),
    "random start": replace(BASE, attack=Attack("linf", 0.1, 2, 0.6, random_start=True)),
    "cnn": replace(BASE, kind="cnn", widths=(3,)),
}


def by_torch(recipe: FloatRecipe, data: FloatData, seed: int) -> np.ndarray:
    """Logits after training by torch's own layers and optimizer."""
    start = recipe.stack(data.shape, data.classes).initial(generator("initialisation", seed))
    layers = [nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(5, 3)]
    for i, layer in enumerate(layers):
        layer.weight.data, layer.bias.data = (torch.from_numpy(start[f"{i}.{n}"].T.copy()) for n in ("weight", "bias"))
        layer.bias.data = layer.bias.data.flatten()
    net = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    options = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    optimizer = (
        torch.optim.Adam(net.parameters(), **options)
        if recipe.optimizer == "adam"
        else torch.optim.SGD(net.parameters(), momentum=recipe.momentum, **options)
    )
    x, y = torch.from_numpy(data.inputs), torch.from_numpy(data.labels)
    for step in range(recipe.steps):
        epoch, at = divmod(step, 90 // 20)
        rows = generator("order", seed, epoch).permutation(90)[at * 20 : at * 20 + 20]
        batch, labels = x[rows], y[rows]
        if recipe.attack:
            batch = perturbed(
                lambda z, labels=labels: F.cross_entropy(net(z[0]), labels, reduction="sum"),
                batch[None],
                recipe.attack.at(step, recipe.steps),
                Within(),
            )[0]
        optimizer.zero_grad()
        F.cross_entropy(net(batch), labels).backward()
        optimizer.step()
    return net(x).detach().numpy()


@pytest.mark.parametrize("name", ["sgd", "adam", "attacked", "rising"])
def test_each_network_is_trained_as_torch_trains_it(name: str) -> None:
    recipe = RECIPES[name]
    weights = train_floats(recipe, DATA, [4, 5, 6])
    found = float_logits(recipe.stack((1, 6, 1), 3), weights, [one.inputs for one in DATA])
    for row, seed in enumerate((4, 5, 6)):
        expected = by_torch(recipe, DATA[row], seed)
        assert expected.std() > 0.02
        np.testing.assert_allclose(found[row], expected, atol=3e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_training_goes_on_from_any_step_with_equal_bits(name: str) -> None:
    recipe, saved = RECIPES[name], {}
    data = [replace(one, inputs=np.abs(one.inputs).reshape(-1, 2, 3, 1)) for one in DATA] if name == "cnn" else DATA
    whole = train_floats(recipe, data, [1, 2, 3])
    train_floats(recipe, data, [1, 2, 3], save=(7, lambda step, state: saved.update({step: state})))
    assert sorted(saved) == [7, 14, 21]
    for step, state in saved.items():
        again = train_floats(recipe, data, [1, 2, 3], (step, state))
        assert all(np.array_equal(again[key], whole[key]) for key in whole)


def test_a_rising_attack_is_kept_with_its_own_digest_and_is_whole_after_its_share() -> None:
    rising, plain = RECIPES["rising"].attack, Attack("l2", 0.5, 2, 0.6)
    assert rising is not None
    found = [rising.at(step, 25).epsilon for step in range(25)]
    np.testing.assert_allclose(found, np.minimum(1, np.arange(1, 26) / 15) * 0.5)
    assert rising.at(20, 25) == plain.at(0, 25) == plain
    for attack in (rising, plain):
        recipe = replace(BASE, attack=attack)
        assert restore(FloatRecipe, json.loads(canonical_json(recipe))) == recipe
    assert '"rise"' not in canonical_json(plain)


def test_another_seed_is_another_network_and_a_large_batch_takes_all() -> None:
    recipe = replace(BASE, batch_size=1000)
    one, other = (train_floats(recipe, DATA[:1], [seed])["0.weight"] for seed in (0, 1))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "resnet18", "widths": ()}, "recipe.kind: expected an architecture with a stack"),
        ({"kind": "cnn", "dropout": 0.5}, "recipe.dropout: expected 0 for networks that are no mlp"),
        ({"steps": 0}, "recipe.steps: expected 1 or more"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(BASE, **changes)  # type: ignore[arg-type]
