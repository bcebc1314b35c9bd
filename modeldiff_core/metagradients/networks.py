"""Networks as pure functions of parameters, running statistics, inputs and example weights."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.func import functional_call

from modeldiff_core.metagradients.batch_norm import PureBatchNorm, make_pure
from modeldiff_core.metagradients.process import State
from modeldiff_core.models import Net
from modeldiff_core.training.descent import network_inputs
from modeldiff_core.training.features import Backbone
from modeldiff_core.training.normalization import Normalization
from modeldiff_core.training.operations import changed, draws_per_image, shape_after, sized
from modeldiff_core.training.settings import Recipe

Images = UInt8[np.ndarray, "_images height width channels"]
PREPARED = 2**26
"""Bytes of inputs that are made once and kept, where no augmentation draws anything."""


@runtime_checkable
class Inputs(Protocol):
    """Makes what a network is given."""

    def training(
        self, members: Int[np.ndarray, " batch"], draws: Float[np.ndarray, "batch draws"]
    ) -> Float[Tensor, "batch ..."]:
        """Return the inputs of training examples, augmented by these draws."""
        ...

    def evaluation(self, targets: slice, mirrored: bool) -> Float[Tensor, "chosen ..."]:
        """Return the inputs of some of the targets, or of their mirror images."""
        ...


@dataclass(frozen=True)
class ImageInputs:
    """Inputs of whole networks, [batch, channels, height, width]."""

    recipe: Recipe
    normalization: Normalization
    train: Images
    targets: Images
    dtype: torch.dtype

    def training(
        self, members: Int[np.ndarray, " batch"], draws: Float[np.ndarray, "batch draws"]
    ) -> Float[Tensor, "batch ..."]:
        if self._prepared is None:
            return self._made(members, draws)
        return self._prepared.index_select(0, torch.from_numpy(members).to(self._prepared.device))

    @property
    def prepared_bytes(self) -> int:
        """Memory of the inputs that are kept; 0 if epochs differ or they are more than PREPARED bytes."""
        shape = self.train.shape[1:]
        out = shape_after(self.recipe.augmentations, (shape[0], shape[1], shape[2]))
        size = len(self.train) * int(np.prod(out)) * self.dtype.itemsize
        drawn = draws_per_image(self.recipe.augmentations, (shape[0], shape[1], shape[2]))
        return size if not drawn and size <= PREPARED else 0

    @property
    def bytes_stay(self) -> bool:
        """Whether augmented images still are bytes."""
        return all(operation.exact_on_bytes for operation in self.recipe.augmentations)

    def training_bytes(
        self, members: Int[np.ndarray, " batch"], draws: Float[np.ndarray, "batch draws"]
    ) -> UInt8[Tensor, "batch height width channels"]:
        """Return training images, augmented by these draws, before they are normalized; where bytes stay."""
        return changed(self.recipe.augmentations, torch.from_numpy(self.train[members]), torch.from_numpy(draws))

    @cached_property
    def _prepared(self) -> Float[Tensor, "train ..."] | None:
        if not self.prepared_bytes:
            return None
        everyone = np.arange(len(self.train))
        return self._made(everyone, np.zeros((len(everyone), 0), np.float32))

    def _made(self, members: Int[np.ndarray, " batch"], draws: Float[np.ndarray, "batch draws"]) -> Tensor:
        device = self.normalization.mean.device
        pixels = torch.from_numpy(self.train[members]).to(device).float()
        x = network_inputs(self.recipe, self.normalization, pixels[None], torch.from_numpy(draws[None]).to(device))
        # Max pooling of another memory layout has no gradient for many probes at once.
        return x[0].permute(0, 3, 1, 2).to(self.dtype).clone(memory_format=torch.contiguous_format)

    def evaluation(self, targets: slice, mirrored: bool) -> Float[Tensor, "chosen ..."]:
        images = torch.from_numpy(self.targets[targets]).to(self.normalization.mean.device)
        shown = sized(self.recipe.augmentations, images)
        pixels = shown.float().div_(255) if shown.dtype == torch.uint8 else shown
        x = self.normalization((pixels.flip(2) if mirrored else pixels)[None])[0]
        return x.permute(0, 3, 1, 2).to(self.dtype).clone(memory_format=torch.contiguous_format)


@dataclass(frozen=True)
class FeatureInputs:
    """Inputs of heads: features of a frozen backbone, [batch, features], computed once for each image."""

    backbone: Backbone
    train: Images
    targets: Images
    dtype: torch.dtype

    def training(
        self, members: Int[np.ndarray, " batch"], draws: Float[np.ndarray, "batch draws"]
    ) -> Float[Tensor, "batch ..."]:
        features = self.backbone.features(self.train)
        # Features that were computed in inference mode cannot take part in a gradient.
        return features[torch.from_numpy(members).to(features.device)].clone().to(self.dtype)

    def evaluation(self, targets: slice, mirrored: bool) -> Float[Tensor, "chosen ..."]:
        return self.backbone.features(self.targets, mirrored)[targets].clone().to(self.dtype)


@dataclass(frozen=True)
class PureNetwork:
    """A network in two modes, as functions.

    Attributes:
        training: The module whose layers that are trained are in training mode.
        evaluation: The same in evaluation mode.
        norms: The batch normalizations in training mode by name; their running statistics are state.
        constants: Parameters and statistics that training does not change.
        weighted: Whether the statistics of a batch count an example by its weight.

    """

    training: nn.Module
    evaluation: nn.Module
    norms: dict[str, PureBatchNorm]
    constants: State
    weighted: bool = False

    def train_logits(
        self, values: State, x: Float[Tensor, "batch ..."], weights: Float[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch classes"], State]:
        """Return logits of a training batch, and the running statistics after it."""
        for layer in self.norms.values():
            layer.example_weights, layer.after = weights if self.weighted else None, {}
        logits = functional_call(self.training, {**self.constants, **values}, (x,))
        after: State = {}
        for name, layer in self.norms.items():
            after |= {f"{name}.{kind}": value for kind, value in layer.after.items()}
            layer.example_weights, layer.after = None, {}
        return logits, after

    def logits(self, values: State, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Return logits at evaluation."""
        found: Tensor = functional_call(self.evaluation, {**self.constants, **values}, (x,))
        return found


def pure_network(
    build: Callable[[], Net], start: State, trained: list[str], weighted: bool
) -> tuple[PureNetwork, State, State]:
    """Return a network as functions, with the parameters and the running statistics that training starts from.

    Args:
        build: Makes the module.
        start: Value of each of its tensors before training.
        trained: Names of the parameters that training changes.
        weighted: Whether the statistics of a batch count an example by its weight.

    """
    module = build()
    module.train_only(trained)
    layers = make_pure(module)
    module.requires_grad_(False)
    norms = {name: layer for name, layer in layers.items() if layer.training}
    statistics = [f"{name}.{kind}" for name in norms for kind in ("running_mean", "running_var")]
    constants = {name: value for name, value in start.items() if name not in statistics and name not in trained}
    network = PureNetwork(module, copy.deepcopy(module).eval(), norms, constants, weighted)
    return network, {name: start[name] for name in trained}, {name: start[name] for name in statistics}


def pure_head(layer: nn.Module) -> PureNetwork:
    """Return a last layer alone as functions."""
    module = copy.deepcopy(layer).requires_grad_(False)
    return PureNetwork(module, copy.deepcopy(module).eval(), {}, {})
