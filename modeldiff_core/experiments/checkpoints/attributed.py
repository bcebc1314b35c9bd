"""Stages: a checkpoint's weights taken into the store, and the attributions of its margins to the training examples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from modeldiff_core.data import Examples
from modeldiff_core.datamodels.ekfac import Labeled, ekfac_attributions
from modeldiff_core.datamodels.trak import DampedTrak
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.checkpoints.networks import OneNetwork, build, inputs_of
from modeldiff_core.experiments.checkpoints.settings import EstimatorConfig, NetworkConfig
from modeldiff_core.experiments.checkpoints.states import digest_of, state_of
from modeldiff_core.plan import Array, Cost, Label, RecordedFailure, Step, Tensors
from modeldiff_core.store import ObjectStore, TensorObject, read_tensors, write_tensors
from modeldiff_core.study import load_dataset
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.training import Task

FOLDER = "checkpoints"
VERSION = 1
"""Raised by hand when a change of the code changes the attributions."""
TRAK_VERSION = 3
"""The same of TRAK. 2: a ridge, since without one the noise of a single checkpoint fills what it gives. 3: the ridge in
units of the mean eigenvalue, and half as many dimensions as training examples."""
BATCH = 500


@dataclass(frozen=True)
class StoredState:
    """Weights of a checkpoint. digest: of them. file: where they are read, empty where Python code gave them."""

    digest: str
    file: str = ""

    @property
    def product(self) -> Tensors:
        """The weights in the store, under their own digest."""
        return Tensors.of(FOLDER, "weights", {"state": self.digest})

    def step(self, name: str) -> Step:
        """Return the step that takes them in."""
        label = Label("checkpoints", "take in checkpoint", ("checkpoints",))
        return Step(name, self.product, take_in, self, (), label, Cost(0.1))


def take_in(store: ObjectStore, spec: StoredState) -> None:
    """Copy the weights of a file into the store."""
    if not spec.file:
        hint = "Call compare_checkpoints again with the same checkpoints"
        raise ConfigError("checkpoints", "weights that the store holds", spec.digest[:8], hint)
    state = state_of(spec.file, "checkpoints")
    if digest_of(state) != spec.digest:
        raise ConfigError("checkpoints", "the same weights as when the study began", spec.file)
    spec.product.write(store, state)


@dataclass(frozen=True)
class Attributed:
    """Attributions of one checkpoint.

    dataset, fingerprint: the data. targets: the first so many test images. train: number of training examples. network:
    what the weights fit. estimator: see there. state: the weights.
    """

    dataset: DatasetConfig
    fingerprint: str
    targets: int
    train: int
    network: NetworkConfig
    estimator: EstimatorConfig
    state: StoredState

    @property
    def product(self) -> Tensors:
        """Their matrix X [targets, train], with the checkpoint's accuracies."""
        identity = {
            "version": VERSION if self.estimator.kind != "trak" else TRAK_VERSION,
            "data": self.fingerprint,
            "targets": self.targets,
            "network": self.network.model_dump(mode="json"),
            "estimator": self.estimator.model_dump(mode="json"),
            "state": self.state.digest,
        }
        axes = {"targets": self.targets, "train": self.train}
        return Tensors.of(f"{FOLDER}/attributions", self.estimator.kind, identity, Array("attributions", axes))

    def step(self, name: str) -> Step:
        """Return the step that computes them."""
        needs = (self.state.product.reference,)
        label = Label("attributions", "attribute", ("checkpoints",))
        return Step(name, self.product, attribute, self, needs, label, Cost(1e-6 * self.targets * self.train + 1))

    def read(self, store: ObjectStore) -> Float[np.ndarray, "targets train"]:
        """Return X."""
        return self.product.read(store)["attributions"]

    def accuracies(self, store: ObjectStore) -> tuple[float, float]:
        """Return the checkpoint's accuracies on the training examples and on the targets."""
        train, targets = cast(Any, read_tensors(store, self.product.reference.record).facts["accuracies"])
        return float(train), float(targets)


def attribute(store: ObjectStore, spec: Attributed) -> None:
    """Compute and store the attributions of one checkpoint; what is not finite is a recorded failure."""
    data = load_dataset(spec.dataset)
    targets = data.test.select(np.arange(spec.targets))
    height, width, channels = data.train.images.shape[1:]
    net = build(spec.network, (height, width, channels), len(data.classes))
    state = spec.state.product.read(store)
    found, accuracies = attributions(net, state, (data.train, targets), spec.network, spec.estimator)
    if not np.isfinite(found).all():
        raise RecordedFailure(f"checkpoint {spec.state.file or spec.state.digest[:8]} has no finite gradients")
    content = TensorObject({"attributions": found}, spec.product.identity, {"accuracies": accuracies})
    write_tensors(store, spec.product.reference.record, content)


def attributions(
    net: nn.Module,
    state: Mapping[str, np.ndarray],
    examples: tuple[Examples, Examples],
    network: NetworkConfig,
    estimator: EstimatorConfig,
) -> tuple[Float[np.ndarray, "targets train"], list[float]]:
    """Return X of a checkpoint, and its accuracies on training examples and targets.

    Args:
        net: The network, whose weights are replaced.
        state: The checkpoint.
        examples: Training examples and targets.
        network: How images become its inputs.
        estimator: How X is estimated.

    """
    prepare = inputs_of(network)
    # The store gives single numbers, such as counts of batch normalization, an axis.
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    weights = {name: torch.from_numpy(np.array(value)).reshape(shapes[name]) for name, value in state.items()}
    net.load_state_dict(weights)
    accuracies = [_accuracy(net.eval(), one, prepare) for one in examples]
    train, targets = examples
    if estimator.kind == "trak":
        task = Task(OneNetwork(net, prepare), 0, train, targets, int(train.labels.max()) + 1)
        trak = DampedTrak(estimator.dimensions, damping=estimator.damping)
        found = trak.attribute(task, [{name: value.numpy()[None] for name, value in weights.items()}])
        return found.weights, accuracies
    parts = [_labeled(one, prepare) for one in examples]
    return ekfac_attributions(net, weights, parts[0], parts[1], estimator.damping), accuracies


def _labeled(examples: Examples, prepare: Callable[[np.ndarray], Tensor]) -> Labeled:
    return Labeled(lambda rows: prepare(examples.images[rows]), torch.from_numpy(examples.labels).long())


@torch.no_grad()
def _accuracy(net: nn.Module, examples: Examples, prepare: Callable[[np.ndarray], Tensor]) -> float:
    right = 0
    for at in range(0, len(examples), BATCH):
        rows = slice(at, at + BATCH)
        right += int((net(prepare(examples.images[rows])).argmax(1).numpy() == examples.labels[rows]).sum())
    return right / len(examples)
