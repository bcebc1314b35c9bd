"""Targets that are read by FFCV give the margins of targets in memory, bit for bit."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.betons import write_beton
from modeldiff_core.data.digits import Digits
from modeldiff_core.study.trainings import target_examples
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task, train_ensemble, train_subset_models
from modeldiff_core.training.augmentations import Translate
from modeldiff_core.training.crops import Resize
from modeldiff_core.training.ffcv_source import BetonSource
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.sklearn_classifiers import SklearnClassifier

pytestmark = pytest.mark.skipif(find_spec("ffcv") is None, reason="there is no FFCV")  # imported where it is used

MLP = Sgd(network=Network("mlp", (8,)), epochs=2, mean="subset", augmentations=(Translate(),))
RESNET9 = Sgd(
    network=Network("resnet9", (4, 4, 4, 4)), epochs=1, augmentations=(Resize(height=12, width=12),), test_time="flip"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Digits whose test images have a beton; it holds more of them than are targets."""
    plain = Digits(n_train=60, n_test=50).load()
    path = tmp_path_factory.mktemp("betons") / "test.beton"
    write_beton(plain.test, path)
    return Dataset(plain.train, Examples(plain.test.images, plain.test.labels, {}, str(path)), plain.classes)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many images FFCV was asked for, and how many at a time."""
    asked: list[tuple[int, int]] = []
    batches: Callable[..., Any] = BetonSource.batches

    def counted(self: BetonSource, order: np.ndarray, batch_size: int) -> object:
        asked.append((len(order), batch_size))
        return batches(self, order, batch_size)

    monkeypatch.setattr(BetonSource, "batches", counted)
    return asked


def task(data: Dataset, algorithm: Any) -> Task:
    return Task(algorithm, 3, data.train, target_examples(data, 41), 10)


@pytest.mark.parametrize(("recipe", "at_once"), [(MLP, 1), (RESNET9, 3)], ids=["mlp", "resnet9"])
def test_margins_are_the_same_bits(
    data: Dataset, read: list[tuple[int, int]], recipe: Sgd, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """at_once: models whose inputs are held together."""
    monkeypatch.setattr("modeldiff_core.training.trained.EVALUATION_PIXELS", at_once * 64 * 16)
    sampler = SubsetSampler(60, 0.5, 0)
    margins = []
    for share in (0.5, 1e-12):
        execution = Execution(stack=3, resident_share=share)
        margins.append(train_subset_models(task(data, recipe), sampler.masks(range(3)), range(3), execution).margins)
        assert bool(read) == (share < 0.5)
    assert read == [(41, 16)] * len(read), "in slices that leave a smaller one at the end"
    assert margins[0].shape == (3, 41)
    assert margins[0].std() > 1e-3
    np.testing.assert_array_equal(margins[0], margins[1])


def test_logits_of_an_ensemble_are_the_same_bits(data: Dataset, read: list[tuple[int, int]]) -> None:
    logits = [
        train_ensemble(task(data, MLP), range(2), Execution(stack=2, resident_share=share))[1] for share in (0.5, 1e-12)
    ]
    assert len(read) == 1
    assert logits[0].std() > 0.01
    np.testing.assert_array_equal(logits[0], logits[1])


def test_models_that_take_arrays_are_given_them(data: Dataset, read: list[tuple[int, int]]) -> None:
    sampler = SubsetSampler(60, 0.5, 0)
    few = Execution(resident_share=1e-12)
    found = train_subset_models(task(data, SklearnClassifier("GaussianNB")), sampler.masks(range(2)), range(2), few)
    assert found.margins.std() > 0.01
    assert not read


def test_targets_are_the_first_examples_and_keep_the_beton(data: Dataset) -> None:
    targets = target_examples(data, 41)
    assert len(targets) == 41
    assert targets.beton == data.test.beton is not None
    assert np.shares_memory(targets.images, data.test.images)
    np.testing.assert_array_equal(targets.labels, data.test.labels[:41])
    assert data.test.select(np.arange(41)).beton is None
