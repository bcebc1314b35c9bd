"""What a training function may get wrong is named in one line, with its line, before anything is trained."""

import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import modeldiff_core as md
from modeldiff_core.training import Execution, Task
from modeldiff_core.training.functions import Form, FunctionAlgorithm, register
from modeldiff_core.training.functions.guard import FunctionFailed, RehearsalFailed
from modeldiff_core.training.rehearsal import Rehearsed, few_of_each, rehearse
from tests.modeldiff_core.api.own_functions import Rows, data, rows, train_callable, train_module

SEEN: list[int] = []


def centers(images: Any, labels: Any) -> np.ndarray:
    pixels = rows(images)
    return np.stack([pixels[np.asarray(labels) == label].mean(0) for label in range(2)])


def logits(given: Any, means: np.ndarray) -> np.ndarray:
    return -((rows(given)[:, None] - means) ** 2).sum(-1)


def wrong_dtype(images: Any, labels: Any, seed: int) -> Any:
    means = centers(images, labels)
    return lambda given: logits(given, means).argmax(1)


def whole_numbers(images: Any, labels: Any, seed: int) -> Any:
    means = centers(images, labels)
    return lambda given: (100 * logits(given, means)).astype(int)


def nan(images: Any, labels: Any, seed: int) -> Any:
    return lambda given: np.full((len(given), 2), np.nan)


def eleven(images: Any, labels: Any, seed: int) -> Any:
    return lambda given: np.random.default_rng(seed).normal(size=(len(given), 3))


def turned(images: Any, labels: Any, seed: int) -> Any:
    means = centers(images, labels)
    return lambda given: logits(given, means).T


def probabilities(images: Any, labels: Any, seed: int) -> Any:
    net = train_module(images, labels, seed)
    return lambda given: net(torch.as_tensor(given)).softmax(1)


def training_mode(images: Any, labels: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    net = nn.Sequential(Rows(), nn.Dropout(0.5))
    return lambda given: net(torch.as_tensor(given))


def training_module(images: Any, labels: Any, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(Rows(), nn.Dropout(0.5))
    with torch.no_grad():
        net[0].linear.bias += float(np.asarray(images).mean()) / 255
    return net


def returns_nothing(images: Any, labels: Any, seed: int) -> Any:
    centers(images, labels)


def raises(images: Any, labels: Any, seed: int) -> Any:
    return images @ labels.missing


def leaves(images: Any, labels: Any, seed: int) -> Any:
    sys.exit(7)


def ignores_subset(images: Any, labels: Any, seed: int) -> Any:
    draws = np.random.default_rng(seed).normal(size=(36, 2))
    return lambda given: rows(given) @ draws


def remembers(images: Any, labels: Any, seed: int) -> Any:
    SEEN.append(seed)
    return train_callable(images, labels, seed)


ERRORS: dict[Callable[..., Any], str] = {
    wrong_dtype: r"gives an array of shape \[32\], expected logits \[32 images, 2 classes\]: are these predicted",
    whole_numbers: r"gives int64, expected floats",
    nan: r"logits are NaN or infinite for 32 of 32 images",
    eleven: r"shape \[32, 3\], expected logits \[32 images, 2 classes\]: 3 logits for 2 classes",
    turned: r"shape \[2, 32\].*: the axes are turned, \.T",
    probabilities: r"gives probabilities: logits are expected",
    training_mode: r"two calls on the same images differ by up to .*left in training mode",
    returns_nothing: r"returned None: is a `return` missing\?; expected a torch\.nn\.Module, a scikit-learn",
    raises: r"raised AttributeError: .*test_rehearsal\.py, line \d+: return images @ labels\.missing\)",
    leaves: r"calls sys\.exit\(7\) \(test_rehearsal\.py, line \d+: sys\.exit\(7\)\)",
    ignores_subset: r"gives the same model for two different subsets",
    remembers: r"changes a variable that it captures, remembers\.SEEN",
}


def rehearsed(function: Callable[..., Any]) -> Rehearsed:
    read = data("arrays").read
    algorithm = FunctionAlgorithm(f"{function.__module__}:{function.__name__}", form=Form(), token=register(function))
    task = Task(algorithm, 0, read.dataset.train, read.dataset.test, 2)
    return rehearse(task, 40, Execution())


@pytest.mark.parametrize("function", ERRORS, ids=lambda f: f.__name__)
def test_a_mistake_is_one_line_with_the_function_and_its_place(function: Callable[..., Any]) -> None:
    with pytest.raises(FunctionFailed, match=ERRORS[function]) as caught:
        rehearsed(function)
    said = str(caught.value)
    line = function.__code__.co_firstlineno
    assert said.startswith(f"{function.__name__} (test_rehearsal.py, line {line}): ")
    assert "\n" not in said
    assert len(said) < 500


def writes(images: Any, labels: Any, seed: int) -> Any:
    images[:, 0, 0] = 0
    return train_callable(images, labels, seed)


def prints(images: Any, labels: Any, seed: int) -> Any:
    for line in range(1200):
        print(line)
    return train_callable(images, labels, seed)


def threads(images: Any, labels: Any, seed: int) -> Any:
    torch.set_num_threads(2)
    return train_callable(images, labels, seed)


def global_draws(images: Any, labels: Any, seed: int) -> Any:
    shift = np.random.rand()
    model = train_callable(images, labels, seed)
    return lambda given: model(given) + np.array([shift, 0])


def not_reproducible(images: Any, labels: Any, seed: int) -> Any:
    model, shift = train_callable(images, labels, seed), random.SystemRandom().random()
    return lambda given: model(given) + np.array([shift, 0])


REMARKS: dict[Callable[..., Any], str] = {
    writes: "writes to the images that it is given",
    prints: "prints 1,200 lines a model, which are not shown",
    threads: "sets torch to 2 threads",
    training_module: "returns a module in training mode, in which it gives other logits",
    global_draws: "draws from the global generator of numpy, which is seeded for each model here",
    not_reproducible: "is not reproducible: the same images, labels and seed gave logits that differ by up to",
    train_callable: "gives the same model whatever its seed",
}


@pytest.mark.parametrize("function", REMARKS, ids=lambda f: f.__name__)
def test_what_may_not_be_meant_is_a_remark(function: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    found = rehearsed(function)
    assert any(REMARKS[function] in remark for remark in found.remarks), found.remarks
    assert found.measured
    assert found.seconds > 0
    assert found.bytes > 1e7
    assert capsys.readouterr() == ("", "")
    assert torch.get_num_threads() == 1


def test_a_sound_function_has_no_remarks() -> None:
    assert rehearsed(train_module).remarks == []


def test_the_few_examples_have_every_class() -> None:
    labels = np.repeat([0, 1, 2], [100, 5, 1])
    chosen = few_of_each(labels, 3, 20)
    assert np.bincount(labels[chosen]).tolist() == [14, 5, 1]


def fails_at_times(images: Any, labels: Any, seed: int) -> Any:
    if seed % 30 == 0:
        raise ArithmeticError("a bad subset")
    return train_callable(images, labels, seed)


def fails_often(images: Any, labels: Any, seed: int) -> Any:
    if seed % 3 == 0:
        raise ArithmeticError("a bad subset")
    return train_callable(images, labels, seed)


def test_one_failure_in_a_hundred_is_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    read = data("arrays").read
    algorithm = FunctionAlgorithm("here:fails_at_times", form=Form(), token=register(fails_at_times))
    masks = np.arange(80) % 4 < np.full((60, 1), 2)
    models = algorithm.train(read.dataset.train, 2, masks, range(60), 0, Execution())
    failed = [number for number, model in enumerate(models.models) if model is None]
    assert 0 < len(failed) <= 3
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"subset model{'s' if len(failed) > 1 else ''} {', '.join(map(str, failed))} of 0..59 ")
    assert "raised ArithmeticError: a bad subset (test_rehearsal.py, line " in said
    found = models.logits(read.dataset.test.images)
    assert np.isnan(found[failed]).all()
    assert np.isfinite(np.delete(found, failed, 0)).all()
    often = FunctionAlgorithm("here:fails_often", form=Form(), token=register(fails_often))
    with pytest.raises(FunctionFailed, match=r"subset models .* of 0\.\.59 failed \(at most 5% may\): fails_often"):
        often.train(read.dataset.train, 2, masks, range(60), 0, Execution())
    with pytest.raises(FunctionFailed, match=r"full-data models? .* of 0\.\.59 failed \(none may\): fails_often"):
        often.train(read.dataset.train, 2, masks, [2**40 + number for number in range(60)], 0, Execution())


def test_a_failure_of_the_rehearsal_comes_before_any_training(tmp_path: Any) -> None:
    def raising(images: Any, labels: Any, seed: int) -> Any:
        return raises(images, labels, seed)

    with pytest.raises(RehearsalFailed, match=r"^algorithm_b: raising \(test_rehearsal\.py, line \d+\): it raised"):
        md.compare(train_callable, raising, data=data("arrays"), models=40, store=tmp_path, **HERE)
    assert not list(tmp_path.glob("trainings/*/subsets/*"))


HERE: dict[str, Any] = {"comparison": {"components": 2}, "search": {"directions": 0}}
