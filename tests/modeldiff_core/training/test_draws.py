"""What is random about a model follows from (seed, model, epoch) alone; what is not random at evaluation is nothing."""

from dataclasses import replace

import numpy as np
import pytest

from modeldiff_core.data import Dataset
from modeldiff_core.data.digits import Digits
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training.augmentations import Cutout, Flip, Noise, Translate
from modeldiff_core.training.descent import epoch_draws
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

SHAPE = (8, 8, 1)
RANDOM = Sgd(network=Network("cnn", (4,)), epochs=2, augmentations=(Flip(), Translate(), Cutout(size=2), Noise()))
MASKS = SubsetSampler(60, 0.5, 0).masks(range(10))
MEMBERS = np.stack([np.flatnonzero(mask) for mask in MASKS])


def drawn(models: list[int], seed: int = 3, epoch: int = 1) -> tuple[np.ndarray, np.ndarray]:
    return epoch_draws(RANDOM, MEMBERS[models], models, seed, epoch, SHAPE)


def test_a_model_s_draws_do_not_depend_on_its_company() -> None:
    order, draws = drawn(list(range(10)))
    assert draws.shape == (10, 30, 1 + 2 + 2 + 64)
    assert draws.std() > 0.2
    for company in ([4], [9, 4], [4, 4, 0], [7, 1, 4]):
        at = company.index(4)
        np.testing.assert_array_equal(drawn(company)[0][at], order[4])
        np.testing.assert_array_equal(drawn(company)[1][at], draws[4])
    np.testing.assert_array_equal(np.sort(order[4]), MEMBERS[4])


def test_seed_model_and_epoch_each_decide() -> None:
    _, draws = drawn([4])
    for other in (drawn([5]), drawn([4], seed=4), drawn([4], epoch=2)):
        assert np.abs(other[1] - draws).max() > 0.5
    same_members = epoch_draws(RANDOM, MEMBERS[[4]], [5], 3, 1, SHAPE)
    assert not np.array_equal(same_members[0], drawn([4])[0]), "the order is the model's, not the subset's"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return Digits(n_train=60, n_test=40).load()


@pytest.mark.parametrize("stack", [1, 2])
def test_nothing_is_augmented_at_evaluation(digits: Dataset, stack: int) -> None:
    models = RANDOM.train(digits.train, 10, MASKS[:2], [0, 1], 0, Execution(stack=stack))
    bare = replace(RANDOM, augmentations=()).load(models.weights(), SHAPE, 10, Execution(stack=stack))
    logits = models.logits(digits.test.images)
    assert logits.std() > 0.1
    np.testing.assert_allclose(bare.logits(digits.test.images), logits, rtol=0, atol=2e-6)
    asked = replace(RANDOM, augmentations=(), test_time="flip").load(models.weights(), SHAPE, 10, Execution())
    assert np.abs(asked.logits(digits.test.images) - logits).max() > 0.01, "unless the algorithm says so"


@pytest.mark.parametrize("stack", [1, 2])
@pytest.mark.parametrize("kind", ["cnn", "resnet9"])
def test_statistics_of_the_data_are_those_of_the_subset_alone(digits: Dataset, kind: str, stack: int) -> None:
    """Of pixels and of batches: images that no model sees may be anything."""
    from modeldiff_core.training.crops import Resize

    network = Network(kind, (4,) if kind == "cnn" else (4, 4, 4, 4))
    recipe = Sgd(
        network=network,
        epochs=1,
        batch_size=10,
        mean="subset",
        scale="subset",
        augmentations=(Resize(height=12, width=12),),
    )
    hidden = ~MASKS[:2].any(0)
    assert 5 < hidden.sum() < 30
    images = digits.train.images.copy()
    images[hidden] = 255
    way = Execution(stack=stack, stack_batch_norm=True)
    seen, other = (
        recipe.train(replace(digits.train, images=some), 10, MASKS[:2], [0, 1], 0, way).weights()
        for some in (digits.train.images, images)
    )
    own = digits.train.images[MASKS[1]] / 255
    np.testing.assert_allclose(seen["normalisation.mean"][1], own.mean((0, 1, 2)), rtol=1e-5)
    assert abs(own.mean() - digits.train.images.mean() / 255) > 1e-4
    assert kind == "cnn" or np.abs(seen["first.1.running_mean"]).max() > 0.01
    for name, value in seen.items():
        np.testing.assert_array_equal(other[name], value)
