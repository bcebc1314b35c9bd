"""With all weights 1 the process is the platform's own training; its batch normalization is torch's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.metagradients import Calculus, Point, Process, Trajectory
from modeldiff_core.metagradients.algorithms import sgd_process
from modeldiff_core.metagradients.batch_norm import PureBatchNorm, make_pure
from modeldiff_core.metagradients.dense import DenseProcess
from modeldiff_core.models import architecture_of
from modeldiff_core.models.initial import plain_state
from modeldiff_core.training import Execution, Task, train_subset_models
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd
from tests.modeldiff_core.metagradients.cases import CLASSES, MLP, TRAIN

MODEL = 3


def margins(process: Process) -> np.ndarray:
    found: np.ndarray = process.outputs(Trajectory(process).last, slice(0, process.targets)).numpy()
    return found


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("everything", [True, False])
def test_at_weight_one_margins_are_those_of_the_trainer(task: Task, native: bool, everything: bool) -> None:
    mask = np.ones(TRAIN, bool) if everything else np.arange(TRAIN) % 3 > 0
    execution = Execution(native=native, stack=1)
    expected = train_subset_models(task, mask[None], range(MODEL, MODEL + 1), execution).margins[0]
    assert expected.std() > 0.03
    found = margins(sgd_process(task, Point.subset(mask), MODEL, execution, Calculus()))
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std(), rtol=1e-3)


def test_heads_on_features_train_as_in_the_trainer(train: Examples, targets: Examples, tmp_path: Path) -> None:
    net = architecture_of("cnn").build((12, 12, 1), (3, 4), CLASSES)
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    save_file(dict(plain_state(net)), tmp_path / "weights.safetensors")
    network = Network("cnn", (3, 4), init=str(tmp_path / "weights.safetensors"), trainable="head")
    task = Task(replace(MLP, network=network, test_time="flip"), 5, train, targets, CLASSES)
    mask = np.ones((1, TRAIN), bool)
    expected = train_subset_models(task, mask, range(MODEL, MODEL + 1), Execution()).margins[0]
    process = sgd_process(task, Point.subset(mask[0]), MODEL, Execution(), Calculus())
    assert isinstance(process, DenseProcess)
    np.testing.assert_allclose(margins(process), expected, rtol=1e-4, atol=1e-4)


def test_equal_weights_train_alike_whatever_they_are(train: Examples, targets: Examples) -> None:
    task = Task(MLP, 5, train, targets, CLASSES)
    half = sgd_process(task, Point.everywhere(TRAIN, 0.5), MODEL, Execution(), Calculus())
    whole = sgd_process(
        replace(task, algorithm=replace(MLP, batch_size=10)),
        Point.everywhere(TRAIN, 1.0),
        MODEL,
        Execution(),
        Calculus(),
    )
    assert half.steps == whole.steps
    np.testing.assert_allclose(margins(half), margins(whole), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_pure_batch_normalization_is_that_of_torch(weighted: bool) -> None:
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(3, momentum=0.2, dtype=torch.float64)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    pure = PureBatchNorm(nn.BatchNorm2d(3, momentum=0.2, dtype=torch.float64))
    pure.load_state_dict(layer.state_dict(), strict=False)
    x = torch.randn(5, 3, 4, 2, dtype=torch.float64)
    pure.example_weights = torch.full((5,), 0.3, dtype=torch.float64) if weighted else None
    torch.testing.assert_close(pure(x), layer(x))
    for name, value in pure.after.items():
        torch.testing.assert_close(value, layer.get_buffer(name))
    layer.eval()
    pure.load_state_dict(layer.state_dict(), strict=False)
    torch.testing.assert_close(pure.eval()(x), layer(x))


def test_an_example_of_weight_zero_is_not_there_in_weighted_statistics() -> None:
    x = torch.randn(5, 3, 4, 2, dtype=torch.float64)
    pure = PureBatchNorm(nn.BatchNorm2d(3, dtype=torch.float64))
    pure.example_weights = torch.tensor([1, 1, 0, 1, 1], dtype=torch.float64)
    kept = torch.tensor([0, 1, 3, 4])
    torch.testing.assert_close(pure(x)[kept], nn.BatchNorm2d(3, dtype=torch.float64)(x[kept]))


def test_layers_that_are_no_functions_are_refused() -> None:
    for layer in (nn.Dropout(), nn.BatchNorm1d(4), nn.InstanceNorm2d(3, track_running_stats=True)):
        with pytest.raises(ConfigError, match=f"recipe.network.kind: .*{type(layer).__name__}"):
            make_pure(nn.Sequential(nn.Linear(4, 4), layer))
    with pytest.raises(ConfigError, match="running statistics"):
        make_pure(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)))


def test_a_batch_of_one_is_refused_for_batch_normalization(train: Examples, targets: Examples) -> None:
    recipe = Sgd(network=Network("resnet9", (2, 2, 2, 2)), batch_size=5)
    point = Point.everywhere(31, 0.5)
    task = Task(recipe, 0, train.first(31), targets, CLASSES)
    with pytest.raises(ConfigError, match="recipe.batch_size"):
        sgd_process(task, point, 0, Execution(), Calculus())
