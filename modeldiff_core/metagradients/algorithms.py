"""Which algorithms can be differentiated through, and their trainings as processes."""

from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from modeldiff_core.errors import ConfigError
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.metagradients.convolutional import ConvolutionalProcess
from modeldiff_core.metagradients.dense import DenseProcess
from modeldiff_core.metagradients.modules import check_module, module_process
from modeldiff_core.metagradients.networks import FeatureInputs, ImageInputs, PureNetwork, pure_head, pure_network
from modeldiff_core.metagradients.optimizers import check_optimizer
from modeldiff_core.metagradients.point import Point
from modeldiff_core.metagradients.process import Process, State
from modeldiff_core.metagradients.sgd import Data, SgdProcess, Stream
from modeldiff_core.models import Net, StackedConvNet, architecture_of
from modeldiff_core.models.initial import plain_state
from modeldiff_core.models.small import MLP, ConvNet
from modeldiff_core.training import Algorithm, Execution, Task
from modeldiff_core.training.devices import available_device
from modeldiff_core.training.features import is_frozen
from modeldiff_core.training.modules import TorchRecipe
from modeldiff_core.training.native import layout_of
from modeldiff_core.training.normalization import normalization_of
from modeldiff_core.training.operations import shape_after
from modeldiff_core.training.sgd import Sgd, frozen_backbone, initial_state, network_shapes
from modeldiff_core.training.single import check_batches

NUMBERS = 2**41
"""Training i draws its randomness as model NUMBERS + i, which neither a subset model nor a full-data model has."""
ONLY = "Metagradients need it; regression on masks does not"
STEPS = ("accuracy",)
"""Outputs that are steps: their derivatives are 0 wherever they exist."""


@dataclass(frozen=True)
class Calculus:
    """How a training is differentiated; part of what decides the numbers.

    Attributes:
        precision: 'float32', or 'float64' to check the former.
        batch_statistics: Whether an example below weight 1 counts fully in the statistics of batch normalization
            ('full'), or by its weight ('weighted'), so that its part in them is a part of its derivative.

    """

    precision: Literal["float32", "float64"] = "float32"
    batch_statistics: Literal["full", "weighted"] = "full"

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch names it."""
        return torch.float64 if self.precision == "float64" else torch.float32


@runtime_checkable
class DifferentiableAlgorithm(Protocol):
    """An algorithm whose training is a chain of differentiable steps.

    A user's algorithm takes part in metagradients by this method. ``Process`` says what has to be returned.
    """

    def process(self, task: Task, point: Point, model: int, execution: Execution) -> Process:
        """Return the training of model number `model` on the task's training set with the point's weights."""
        ...


def check_differentiable(
    algorithm: Algorithm,
    output: str,
    key: str = "regression.estimator",
    sizes: tuple[tuple[int, int, int], int] | None = None,
) -> None:
    """Raise ConfigError for an algorithm or an output that cannot be differentiated.

    Args:
        algorithm: The algorithm.
        output: What is recorded of targets.
        key: What asked for derivatives, for an algorithm that has none.
        sizes: Shape of the images and number of classes; with them networks of one's own are tried, too.
    """
    if isinstance(algorithm, TorchRecipe):
        try:
            check_optimizer(algorithm)
            if sizes is not None:
                check_module(algorithm, *sizes)
        except ConfigError as error:
            raise ConfigError(error.key, error.expected, error.got, error.hint or ONLY) from error
    elif not isinstance(algorithm, Sgd | DifferentiableAlgorithm):
        raise ConfigError(
            key,
            "an algorithm whose steps can be differentiated",
            type(algorithm).__name__,
            "Metagradients are for kinds sgd and torch, and for algorithms with a method `process` that returns their "
            "training as a modeldiff_core.metagradients.Process",
        )
    if output in STEPS or OUTPUTS.get(output).axes != ("targets",):
        raise ConfigError("output", "one differentiable number a target, such as margin or log_odds", output)


def process_of(
    task: Task, point: Point, number: int, execution: Execution, calculus: Calculus | None = None
) -> Process:
    """Return training `number` of a task at a point.

    Trainings are numbered from 0 and independent of each other, of subset models and of full-data models.

    Raises:
        ConfigError: If the algorithm cannot be differentiated.
    """
    check_differentiable(task.algorithm, task.output)
    if isinstance(task.algorithm, Sgd):
        return sgd_process(task, point, NUMBERS + number, execution, calculus or Calculus())
    if isinstance(task.algorithm, TorchRecipe):
        asked, device = calculus or Calculus(), available_device(execution.device)
        weighted = asked.batch_statistics == "weighted"
        return module_process(task, point, NUMBERS + number, device, asked.dtype, weighted=weighted)
    assert isinstance(task.algorithm, DifferentiableAlgorithm)
    return task.algorithm.process(task, point, NUMBERS + number, execution)


def sgd_process(task: Task, point: Point, model: int, execution: Execution, calculus: Calculus) -> SgdProcess:
    """Return the training of a model of kind sgd, number `model` of all that draw from the algorithm's seed."""
    recipe = task.algorithm
    assert isinstance(recipe, Sgd)
    device, dtype = available_device(execution.device), calculus.dtype
    height, width, channels = task.train.images.shape[1:]
    shape = shape_after(recipe.augmentations, (height, width, channels))
    net = network_shapes(recipe.network, shape, task.n_classes)

    def build() -> Net:
        return architecture_of(recipe.network.kind).build(shape, recipe.network.sizes, task.n_classes).to(device)

    def on_device(state: State) -> State:
        return {name: value.to(device, dtype) for name, value in state.items()}

    sizes, purpose = (shape, task.n_classes), (task.seed, model)
    images = task.train.images, task.targets.images
    network: PureNetwork
    statistics: State = {}
    if is_frozen(recipe, (height, width, channels)):
        backbone, head = frozen_backbone(recipe, build(), task.n_classes, shape, device)
        names = [name for name in plain_state(net) if name.startswith(f"{head.name}.")]
        start = on_device(initial_state(recipe.network, net, sizes, purpose, names))
        values = {name.removeprefix(f"{head.name}."): value for name, value in start.items()}
        network = pure_head(backbone.net.head_layer())
        inputs: FeatureInputs | ImageInputs = FeatureInputs(backbone, *images, dtype)
        layers: tuple[str, ...] = ("",)
    else:
        _check_sizes(recipe, net, point)
        start = on_device(initial_state(recipe.network, net, sizes, purpose))
        trained = net.trained_names(recipe.network.trainable)
        weighted = calculus.batch_statistics == "weighted"
        network, values, statistics = pure_network(build, start, trained, weighted)
        normalization = normalization_of(recipe, images[0], point.weights()[None] > 0, device)
        inputs = ImageInputs(recipe, normalization, *images, dtype)
        dense = isinstance(net, MLP) and recipe.network.trainable == "all"
        layers = tuple(name for name, _ in net.named_children()) if dense else ()
    labels, targets = (_labels(examples.labels, device) for examples in (task.train, task.targets))
    data = Data(inputs, labels, targets, OUTPUTS.get(task.output))
    stream = Stream(task.seed, model, (height, width, channels))
    given = (recipe, network, (values, statistics), data, point, stream)
    if not layers and isinstance(net, ConvNet) and recipe.network.trainable == "all" and execution.native:
        convolutional = ConvolutionalProcess(*given)
        convolutional.scale = net.head_layer().scale
        convolutional.layout = layout_of(StackedConvNet(net.stages), shape)
        return convolutional
    if not layers:
        return SgdProcess(*given)
    process = DenseProcess(*given)
    process.layers, process.scale, process.native = layers, net.head_layer().scale, execution.native
    return process


def _check_sizes(recipe: Sgd, net: Net, point: Point) -> None:
    """Raise ConfigError if a batch would leave one example to batch normalization."""
    scaled = max(1, round(recipe.batch_size / point.weight))
    check_batches(replace(recipe, batch_size=scaled), net, len(point.members))


def _labels(labels: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(labels).to(device)
