"""Adversarial training as an algorithm: without room to move it is plain descent, and it withstands attacks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modeldiff_core.data.digits import Digits
from modeldiff_core.errors import ConfigError
from modeldiff_core.models import architecture_of
from modeldiff_core.settings import build_settings
from modeldiff_core.training import ALGORITHMS, Execution
from modeldiff_core.training.adversarial import Adversarial
from modeldiff_core.training.attacks import Attack, Within, perturbed
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

DATA = Digits(300, 100).load()
MASKS = np.random.default_rng(0).permuted(np.tile(np.arange(300) < 200, (3, 1)), axis=1)
PLAIN = Execution(native=False)
SETTINGS = {"network": Network("mlp", (24,)), "epochs": 6, "batch_size": 25, "learning_rate": 0.05}
STRONG = Adversarial(**SETTINGS, attack=Attack("linf", 0.15, 4, 0.4))  # type: ignore[arg-type]


def trained(algorithm: Sgd | Adversarial, execution: Execution = PLAIN) -> dict[str, np.ndarray]:
    return algorithm.train(DATA.train, 10, MASKS, [0, 1, 2], 5, execution).weights()


def robust_accuracy(weights: dict[str, np.ndarray], recipe: Adversarial) -> float:
    make = architecture_of("mlp").stack
    assert make is not None
    stack, state = make((8, 8, 1), (24,), 10), {name: torch.from_numpy(value) for name, value in weights.items()}
    x = torch.from_numpy(DATA.test.images).float()[None].expand(3, -1, -1, -1, -1) / 255
    y = torch.from_numpy(DATA.test.labels).repeat(3)

    def logits(pixels: torch.Tensor) -> torch.Tensor:
        return stack.logits(state, (pixels - 0.5) / 0.5).flatten(0, 1)

    moved = perturbed(lambda z: F.cross_entropy(logits(z), y, reduction="sum"), x, recipe.attack, Within((0.0, 1.0)))
    return float((logits(moved).argmax(1) == y).float().mean())


def test_an_attack_that_hardly_moves_is_plain_descent() -> None:
    weights, plain = trained(replace(STRONG, attack=Attack("l2", 1e-9, 1))), trained(Sgd(**SETTINGS))  # type: ignore[arg-type]
    assert weights.keys() == plain.keys()
    for name, value in plain.items():
        np.testing.assert_allclose(weights[name], value, atol=2e-5)


def test_networks_that_were_attacked_withstand_attacks() -> None:
    settings = {**SETTINGS, "epochs": 25}
    attacked = Adversarial(**settings, attack=Attack("linf", 0.1, 4, 0.4))  # type: ignore[arg-type]
    robust, plain = (robust_accuracy(trained(one), attacked) for one in (attacked, Sgd(**settings)))  # type: ignore[arg-type]
    assert plain < 0.45
    assert robust > plain + 0.2


def test_a_model_depends_on_its_own_row_and_is_loaded_as_it_was() -> None:
    whole, parts = trained(STRONG), trained(STRONG, Execution(stack=1))
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, atol=1e-5)
    models = STRONG.load(whole, (8, 8, 1), 10, PLAIN)
    found = STRONG.train(DATA.train, 10, MASKS, [0, 1, 2], 5, PLAIN).logits(DATA.test.images)
    np.testing.assert_array_equal(models.logits(DATA.test.images), found)


def test_a_random_start_is_a_function_of_seed_model_and_step() -> None:
    started = replace(STRONG, epochs=1, attack=Attack("linf", 0.15, 1, 0.4, random_start=True))
    one, same = trained(started), trained(started)
    assert all(np.array_equal(one[name], same[name]) for name in one)
    without = trained(replace(started, attack=Attack("linf", 0.15, 1, 0.4)))
    assert any(not np.array_equal(one[name], without[name]) for name in one)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"attack": {"epsilon": 0.0}}, "attack.epsilon: expected more than 0"),
        ({"network": {"kind": "resnet18"}}, "recipe.network.kind: expected an architecture with a stack"),
        ({"mean": "subset"}, "recipe.mean: expected constants that are no statistics of subsets"),
        ({"precision": "bfloat16"}, "recipe.precision: expected float32"),
    ],
)
def test_what_it_cannot_train_is_refused(recipe: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_settings(ALGORITHMS.get("adversarial"), recipe, "recipe")
