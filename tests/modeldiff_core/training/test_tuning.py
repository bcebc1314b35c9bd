"""The probe finds the fastest way that fits, and memory that runs out halves the stack."""

import logging
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from modeldiff_core.data import Dataset
from modeldiff_core.data.digits import Digits
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task, tuning
from modeldiff_core.training import sgd as sgd_module
from modeldiff_core.training import step_timer as timer_module
from modeldiff_core.training.augmentations import Noise
from modeldiff_core.training.crops import Resize
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.sklearn_classifiers import SklearnClassifier
from modeldiff_core.training.step_timer import StepTimer
from modeldiff_core.training.tuning import Measurement

MLP = Sgd(network=Network("mlp", (8,)), epochs=3)


@cache
def digits() -> Dataset:
    return Digits(n_train=200, n_test=50).load()


def task(algorithm: Any = MLP) -> Task:
    data = digits()
    return Task(algorithm, 0, data.train, data.test, 10)


def masks(models: int) -> np.ndarray:
    return SubsetSampler(200, 0.5, 0).masks(range(models))


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stacks of more than five models do not fit; gives the sizes that were tried."""
    tried: list[int] = []
    original = sgd_module.train_stack

    def train_stack(recipe: Sgd, *args: Any) -> Any:
        tried.append(len(args[2]))
        if len(args[2]) > 5:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 1 bytes.")
        return original(recipe, *args)

    monkeypatch.setattr(sgd_module, "train_stack", train_stack)
    return tried


def test_the_fastest_way_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {1: 3.0, 4: 1.0, 16: 2.0}

    def alone(steps: StepTimer) -> Measurement:
        way = steps.execution
        assert len(steps.models) == len(steps.masks) == way.stack
        return Measurement(way.stack, way.compiled, costs[way.stack], 10**8)

    monkeypatch.setattr(tuning, "time_alone", alone)
    ways = tuning.fastest(task(), masks(20), range(20), Execution(native=False, stack=50))
    assert [(way.stack, way.seconds_a_model) for way in ways] == [(4, 1.0), (16, 2.0), (1, 3.0)]
    assert not any(way.compiled for way in ways)


def test_stacks_are_limited_by_the_request_and_by_the_models() -> None:
    ways = tuning.fastest(task(), masks(20), range(20), Execution(native=False, stack=4))
    assert {way.stack for way in ways} == {1, 4}
    assert all(way.peak_bytes > 10**7 and way.processes == 1 for way in ways)
    assert {way.stack for way in tuning.fastest(task(), masks(3), range(3), Execution(native=False, stack=64))} == {1}


def test_compiled_code_has_one_way() -> None:
    """It trains model by model, whatever the stack; torch takes over for a recipe that there is no code for."""
    assert [way.stack for way in tuning.fastest(task(), masks(20), range(20), Execution(stack=20))] == [20]
    recipe = Sgd(network=Network("mlp", (8,), trainable="last_block"), epochs=3)
    assert len(tuning.fastest(task(recipe), masks(4), range(4), Execution(stack=4))) == 2


def test_on_a_gpu_compilation_and_batch_normalization_side_by_side_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Sgd(network=Network("resnet9", (4, 4, 4, 4)), augmentations=(Resize(height=12, width=12),))
    ways = tuning._ways(task(recipe), Execution("cpu", 16))
    assert [(way.stack, way.compiled) for way in ways] == [(1, False)]
    monkeypatch.setattr(tuning, "available_device", torch.device)
    ways = tuning._ways(task(recipe), Execution("cuda:0", 16))
    assert [(way.stack, way.compiled) for way in ways] == [(1, False), (1, True), (4, False), (16, False)]
    assert all(way.stack_batch_norm for way in ways)
    ways = tuning._ways(task(MLP), Execution("cuda:0", 16, native=False))
    assert [(way.stack, way.compiled) for way in ways] == [(1, False), (4, False), (16, False)]


def test_measured_seconds_are_those_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that noise draws alone move on: a few steps extrapolated against all 300 carried out."""
    drawn = Noise.__call__
    clock = 0.0

    def slow(noise: Noise, *args: Any) -> Any:
        nonlocal clock
        clock += 0.5
        return drawn(noise, *args)

    monkeypatch.setattr(Noise, "__call__", slow)
    monkeypatch.setattr(timer_module, "time", SimpleNamespace(perf_counter=lambda: clock))
    recipe = Sgd(network=Network("mlp", (8,)), epochs=60, batch_size=20, augmentations=(Noise(),))
    execution = Execution(native=False, stack=4)
    steps = StepTimer(task(recipe), masks(4), range(4), execution)
    seconds = tuning.time_alone(steps, 2.5).seconds_a_model
    measured, clock = clock, 0.0
    recipe.train(task().train, 10, masks(4), range(4), 0, execution)
    assert 150 / 4 <= clock / 4 == pytest.approx(seconds), "300 steps of four models"
    assert measured < clock / 10


def test_compilation_for_a_smaller_last_batch_is_no_part_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five steps an epoch: code for the last of them is compiled when it first comes up, which takes 100 s."""
    compiled: set[bool] = set()

    def seconds(_: StepTimer, count: int) -> float:
        new = {False, count >= 5} - compiled
        compiled.update(new)
        return 100.0 * len(new) + 0.1 * count

    monkeypatch.setattr(StepTimer, "seconds", seconds)
    recipe = Sgd(network=Network("mlp", (8,)), epochs=60, batch_size=22)
    steps = StepTimer(task(recipe), masks(1), range(1), Execution(stack=1, compiled=True))
    assert tuning.time_alone(steps, 2.5).seconds_a_model == pytest.approx(30)


def test_other_algorithms_have_one_way() -> None:
    ways = tuning.fastest(task(SklearnClassifier()), masks(3), range(3), Execution())
    assert len(ways) == 1
    assert ways[0].seconds_a_model > 0


def test_the_probe_leaves_out_what_does_not_fit(little_memory: list[int], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ways = tuning.fastest(task(), masks(64), range(64), Execution(native=False, stack=64))
    assert {way.stack for way in ways} == {1, 4}
    assert 16 in little_memory
    assert 64 not in little_memory
    assert "16 models together do not fit" in caplog.text
    assert "peak memory" in caplog.text


def test_training_halves_the_stack_and_goes_on(little_memory: list[int], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        models = MLP.train(task().train, 10, masks(11), range(11), 0, Execution(native=False, stack=11))
    assert little_memory == [11, 5, 5], "the last model is trained alone"
    assert "out of memory with 11 models together, going on with 5" in caplog.text
    assert "peak memory" in caplog.text
    monkey = MLP.train(task().train, 10, masks(11), range(11), 0, Execution(native=False, stack=5))
    for name, value in models.weights().items():
        np.testing.assert_array_equal(value, monkey.weights()[name])
    assert np.ptp(models.weights()["0.weight"][:, 0, 0]) > 0


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(sgd_module, "train_stack", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        MLP.train(task().train, 10, masks(4), range(4), 0, Execution(native=False, stack=4))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        tuning.fastest(task(), masks(4), range(4), Execution(native=False, stack=4))


def test_memory_that_runs_out_for_one_model_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(sgd_module, "train_single", full)
    with pytest.raises(MemoryError):
        MLP.train(task().train, 10, masks(1), range(1), 0, Execution(native=False, stack=1))
