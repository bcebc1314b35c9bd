"""Networks whose components are ablated: where their weights come from, and what they are asked about."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor, nn

from modeldiff_core.ablation import Probes
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import Tagged
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.models import architecture_of
from modeldiff_core.plan import Reference
from modeldiff_core.registry import Registry
from modeldiff_core.responses.models import FullModels
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import Training
from modeldiff_core.training import Execution
from modeldiff_core.training.gradients import Differentiable
from modeldiff_core.training.operations import shape_after
from modeldiff_core.training.settings import Recipe

REFERENCE = 500
"""Examples of the training set, the first, over which a component's mean is taken."""
KEY = "algorithm.kind"
Images = UInt8[np.ndarray, "images height width channels"]


@dataclass(frozen=True)
class Opened:
    """A network with its weights, in evaluation mode.

    Attributes:
        net: The network; its parameters take no gradients.
        prepare: Makes inputs of images; None for a network that takes no images.
        probes: The targets.
        reference: Inputs from the training set.

    """

    net: nn.Module
    prepare: Callable[[Images], Tensor] | None
    probes: Probes
    reference: Tensor


class Network(Tagged):
    """A network: a frozen dataclass with a field ``kind``.

    Register a class under the entry-point group ``modeldiff.networks`` for networks from elsewhere.
    """

    kind: str

    @classmethod
    def member(cls, kind: str) -> type["Network"]:
        return networks().get(kind)

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """What decides its weights, and its targets but for their number."""

    @property
    @abstractmethod
    def needs(self) -> tuple[Reference, ...]:
        """What has to be in the store before it can be opened."""

    @abstractmethod
    def structure(self) -> nn.Module:
        """Return the network without values, on torch's meta device."""

    @abstractmethod
    def open(self, store: ObjectStore, targets: int, output: str, execution: Execution) -> Opened:
        """Return the network, and its first `targets` targets."""


@dataclass(frozen=True)
class TrainedNetwork(Network):
    """A model that was trained on all data: full-data model `number` of a training, shared with its comparisons."""

    training: Training
    number: int
    kind: Literal["trained"] = "trained"

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": self.kind, "training": self.training.identity, "number": self.number}

    @property
    def needs(self) -> tuple[Reference, ...]:
        responses = FullModels(self.training)
        return (responses.reference(self.number // responses.shard_size),)

    def structure(self) -> nn.Module:
        algorithm, data = self.training.task().algorithm, self.training.load()
        if not isinstance(algorithm, Recipe):
            raise ConfigError(KEY, "sgd, whose models are torch modules", self.training.algorithm.kind)
        network = algorithm.network
        shape = shape_after(algorithm.augmentations, data.image_shape)
        with torch.device("meta"):
            return architecture_of(network.kind).build(shape, network.sizes, len(data.classes))

    def open(self, store: ObjectStore, targets: int, output: str, execution: Execution) -> Opened:
        responses, data = FullModels(self.training), self.training.load()
        task = self.training.task()
        if not isinstance(task.algorithm, Differentiable):
            raise ConfigError(
                KEY, "an algorithm whose models are torch modules, such as sgd", type(task.algorithm).__name__
            )
        index, row = divmod(self.number, responses.shard_size)
        weights = {name: value[row : row + 1] for name, value in responses.weights(store, index).items()}
        models = task.algorithm.torch_models(weights, data.image_shape, len(data.classes), execution)
        models.module.load_state_dict(models.states[0])
        net = models.module.eval().requires_grad_(False)
        every = slice(None)

        def prepare(images: Images) -> Tensor:
            return models.inputs[0](images, every).contiguous()

        asked = task.targets.first(targets)
        probes = image_probes(prepare, asked.images, asked.labels, output)
        return Opened(net, prepare, probes, prepare(task.train.images[:REFERENCE]))


def image_probes(
    prepare: Callable[[Images], Tensor], images: Images, labels: Int[np.ndarray, " images"], output: str
) -> Probes:
    """Return images as targets of an output of the logits."""
    inputs, read = prepare(images), OUTPUTS.get(output)
    return Probes(inputs, torch.from_numpy(labels).to(inputs.device), read)


def networks() -> Registry[type[Network]]:
    """Return the registry of networks, those of installed packages among them."""
    from modeldiff_core.responses.effect_networks import EffectNetwork
    from modeldiff_core.responses.stored_networks import LanguageNetwork, StoredNetwork

    return Registry(
        "modeldiff.networks",
        "network.kind",
        {"effect": EffectNetwork, "language": LanguageNetwork, "stored": StoredNetwork, "trained": TrainedNetwork},
    )
