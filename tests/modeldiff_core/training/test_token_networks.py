"""Networks on sequences of ids: words that they do not see, weights that come back, what is refused before training."""

from typing import Any

import numpy as np
import pytest

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.digits import Digits
from modeldiff_core.data.kinds import RESERVED, Tokens
from modeldiff_core.data.texts import as_inputs
from modeldiff_core.errors import ConfigError
from modeldiff_core.training import Execution
from modeldiff_core.training.token_networks import TokenNetwork

TOKENS = Tokens((*RESERVED, "yes", "no", "left", "right", "zq"))
FAST = {"epochs": 15, "optimizer_arguments": {"lr": 0.1}}


def data() -> Dataset:
    """Return texts whose class is told by 'yes' or 'no' among others, and by 'zq' in some of the second class."""
    rng, parts = np.random.default_rng(0), []
    for count in (80, 40):
        labels = np.arange(count) % 2
        ids = rng.integers(5, 7, (count, 6))
        ids[np.arange(count), rng.integers(0, 5, count)] = np.where(labels, 4, 3)
        ids[(labels == 1) & (rng.random(count) < 0.5), 5] = 7
        parts.append(Examples(as_inputs(ids), labels, kind=TOKENS))
    return Dataset(parts[0], parts[1], ("affirmed", "denied"))


@pytest.mark.parametrize("network", ["TokenNet", "TokenVotes"])
def test_models_learn_are_pure_and_come_back_from_their_weights(network: str) -> None:
    given, masks = data(), np.random.default_rng(1).random((2, 80)) < 0.7
    recipe = TokenNetwork(f"modeldiff_core.models.text:{network}", **FAST).on(given)  # type: ignore[arg-type]
    recipe.check(given.image_shape, 2)
    models = recipe.train(given.train, 2, masks, [3, 4], 0, Execution())
    logits = models.logits(given.test.images)
    assert logits.shape == (2, 40, 2)
    assert (logits.argmax(2) == given.test.labels).mean() > 0.9
    alone = recipe.train(given.train, 2, masks[1:], [4], 0, Execution()).logits(given.test.images)
    np.testing.assert_array_equal(alone[0], logits[1])
    loaded = recipe.load(models.weights(), given.image_shape, 2, Execution())
    np.testing.assert_array_equal(loaded.logits(given.test.images), logits)


def test_a_word_that_is_taken_out_is_as_if_it_had_never_been_there() -> None:
    given = data()
    without = TokenNetwork(without=("zq",), **FAST).on(given)  # type: ignore[arg-type]
    ids = given.test.images
    assert (ids == 7).any()
    seen = without.ids(ids).numpy()
    assert not (seen == 7).any()
    at = int(np.flatnonzero((ids == 7).any((1, 2, 3)))[0])
    assert seen[at].tolist() == [one for one in ids[at, 0, :, 0].tolist() if one != 7] + [0]
    moved = given.test.images.copy()
    moved[moved == 7] = 0
    models = without.train(given.train, 2, np.ones((1, 80), bool), [0], 0, Execution())
    np.testing.assert_array_equal(models.logits(moved), models.logits(ids))


@pytest.mark.parametrize(
    ("recipe", "key", "said"),
    [
        ({"network": "nowhere:Net"}, "recipe.network", "ModuleNotFoundError"),
        ({"network": "mlp"}, "recipe.network", "module:name"),
        ({"optimizer": "Adan"}, "recipe.optimizer", "Adam"),
        ({"epochs": 0}, "recipe.epochs", "1"),
    ],
)
def test_recipes_that_cannot_be_are_named(recipe: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TokenNetwork(**recipe)
    assert caught.value.key == key
    assert said in str(caught.value)


def test_other_examples_and_words_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="takes images"):
        TokenNetwork().on(Digits(n_train=50, n_test=20).load())
    with pytest.raises(ConfigError) as caught:
        TokenNetwork(without=("zqq",)).on(data())
    assert (caught.value.key, "zq" in str(caught.value)) == ("recipe.without", True)
    with pytest.raises(ConfigError) as caught:
        TokenNetwork("torch.nn:Linear").on(data()).check((1, 6, 1), 2)
    assert caught.value.key == "recipe.network_arguments"
