"""Shards of models: margins of the right models, diverged ones marked and silenced, too many of them refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from modeldiff_core.data import Examples
from modeldiff_core.errors import Diverged
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task, train_ensemble, train_subset_models
from modeldiff_core.training.shards import ENSEMBLE_OFFSET, output_of

TRAIN, TARGETS, CLASSES = 12, 5, 3


@dataclass(frozen=True)
class StubModels:
    """Models whose logits are a known function of model, mask and image."""

    masks: np.ndarray
    models: tuple[int, ...]
    spoilt: Mapping[int, float]

    def logits(self, images: np.ndarray) -> np.ndarray:
        out = np.empty((len(self.models), len(images), CLASSES), np.float32)
        for row, model in enumerate(self.models):
            weight = self.masks[row] @ np.arange(1, TRAIN + 1)
            out[row] = np.sin(model + weight + np.arange(len(images) * CLASSES).reshape(-1, CLASSES))
            if model in self.spoilt:
                out[row, 1, 2] = self.spoilt[model]
        return out

    def weights(self) -> dict[str, np.ndarray]:
        return {"masks": self.masks.astype(np.float32)}


@dataclass(frozen=True)
class Stub:
    """An algorithm that writes down what it was asked."""

    spoilt: Mapping[int, float] = field(default_factory=dict)
    asked: list[tuple[list[int], int, Execution]] = field(default_factory=list)

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        pass

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: np.ndarray,
        models: Sequence[int],
        seed: int,
        execution: Execution,
    ) -> StubModels:
        self.asked.append((list(models), seed, execution))
        return StubModels(masks, tuple(models), self.spoilt)

    def load(
        self, weights: Mapping[str, np.ndarray], image_shape: tuple[int, int, int], n_classes: int, execution: Execution
    ) -> StubModels:
        raise NotImplementedError


def task(algorithm: Stub) -> Task:
    rng = np.random.default_rng(0)

    def examples(n: int) -> Examples:
        return Examples(rng.integers(0, 256, (n, 2, 2, 1)).astype(np.uint8), np.arange(n) % CLASSES)

    return Task(algorithm, 9, examples(TRAIN), examples(TARGETS), CLASSES)


SAMPLER = SubsetSampler(TRAIN, 0.5, 4)


def plain_margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Correct logit minus the largest other one, with loops."""
    out = np.empty(logits.shape[:2])
    for model in range(len(logits)):
        for target, label in enumerate(labels):
            others = [logits[model, target, c] for c in range(CLASSES) if c != label]
            out[model, target] = logits[model, target, label] - max(others)
    return out


def test_a_shard_holds_the_output_of_its_models() -> None:
    algorithm, execution = Stub(), Execution("cpu", 7)
    work, models = task(algorithm), range(40, 60)
    found = train_subset_models(work, SAMPLER.masks(models), models, execution)
    assert algorithm.asked == [(list(models), 9, execution)]
    masks = SAMPLER.masks(models)
    np.testing.assert_array_equal(found.masks, masks)
    logits = StubModels(masks, tuple(models), {}).logits(work.targets.images)
    expected = plain_margins(logits, work.targets.labels)
    assert (expected > 0).any()
    assert (expected < 0).any()
    np.testing.assert_allclose(found.margins, expected, atol=1e-6)
    assert found.margins.dtype == np.float32
    assert not found.diverged.any()
    np.testing.assert_allclose(output_of("margin", logits, work.targets.labels), expected, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_diverged_model_is_marked_and_silenced_and_its_neighbors_are_not(value: float) -> None:
    """Model 3 gives one logit that is not finite, for a class that is not even the target's."""
    models = range(20)
    found = train_subset_models(task(Stub({3: value})), SAMPLER.masks(models), models, Execution())
    sound = train_subset_models(task(Stub()), SAMPLER.masks(models), models, Execution())
    assert np.flatnonzero(found.diverged).tolist() == [3]
    assert not found.margins[3].any()
    assert sound.margins[3].all()
    others = np.arange(20) != 3
    np.testing.assert_array_equal(found.margins[others], sound.margins[others])
    np.testing.assert_array_equal(found.masks, sound.masks)


def test_too_many_diverged_models_are_an_error_that_names_them() -> None:
    spoilt = {103: np.nan, 117: np.inf}
    with pytest.raises(Diverged, match=r"^2 of the 20 subset models 100\.\.119 ended .*: 103, 117\. Lower recipe\."):
        train_subset_models(task(Stub(spoilt)), SAMPLER.masks(range(100, 120)), range(100, 120), Execution())
    with pytest.raises(Diverged, match=r"20 of the 20 .* \(at most 5% may\): 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …\. "):
        train_subset_models(
            task(Stub(dict.fromkeys(range(20), np.nan))), SAMPLER.masks(range(20)), range(20), Execution()
        )
    found = train_subset_models(task(Stub(spoilt)), SAMPLER.masks(range(100, 140)), range(100, 140), Execution())
    assert np.flatnonzero(found.diverged).tolist() == [3, 17], "2 of 40 are tolerated"


def test_an_ensemble_sees_all_data_under_numbers_of_its_own() -> None:
    algorithm = Stub()
    work = task(algorithm)
    trained, logits = train_ensemble(work, range(4, 7), Execution())
    numbers, seed, _ = algorithm.asked[0]
    assert numbers == [ENSEMBLE_OFFSET + model for model in (4, 5, 6)]
    assert seed == 9
    assert trained.weights()["masks"].all()
    assert logits.shape == (3, TARGETS, CLASSES)
    np.testing.assert_array_equal(logits, trained.logits(work.targets.images))
    assert len(np.unique(logits)) > 10


@pytest.mark.parametrize("models", [1, 40])
def test_an_ensemble_tolerates_no_diverged_model(models: int) -> None:
    spoilt = {ENSEMBLE_OFFSET: np.nan}
    with pytest.raises(
        Diverged, match=rf"1 of the {models} full-data models 0\.\.{models - 1} .*\(at most 0% may\): 0\. "
    ):
        train_ensemble(task(Stub(spoilt)), range(models), Execution())
