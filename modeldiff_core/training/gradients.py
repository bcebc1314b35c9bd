"""Trained networks as ordinary torch modules, for estimators that take gradients."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from modeldiff_core.models import Shape, architecture_of
from modeldiff_core.models.stacks import to_module
from modeldiff_core.training.operations import evaluated, shape_after
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.trained import HeadModels, NetworkModels

Inputs = Callable[[UInt8[np.ndarray, "images height width channels"], slice], Tensor]
"""Maps images and a slice of them to the inputs of one model's module, [chosen, ...]."""


@dataclass(frozen=True)
class TorchModels:
    """Trained models as one torch module with a state for each model.

    Images are prepared as at evaluation: without augmentation, and not mirrored where the recipe averages over mirrors.

    Attributes:
        module: The module.
        states: The state_dict of each model.
        inputs: Makes the inputs of each model.
        trained: Names of the parameters that training changes.
    """

    module: nn.Module
    states: tuple[dict[str, Tensor], ...]
    inputs: tuple[Inputs, ...]
    trained: tuple[str, ...]


@runtime_checkable
class Differentiable(Protocol):
    """An algorithm whose trained models are torch modules."""

    def torch_models(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: tuple[int, int, int],
        n_classes: int,
        execution: Execution,
    ) -> TorchModels:
        """Return the models with these stored ``weights``."""
        ...


def modules_of(
    net: nn.Module,
    states: Sequence[dict[str, Tensor]],
    prepare: Callable[[UInt8[np.ndarray, "images height width channels"]], Tensor],
) -> TorchModels:
    """Return one module with several states, the inputs of all of which are made by `prepare`."""

    def inputs(images: UInt8[np.ndarray, "images height width channels"], rows: slice) -> Tensor:
        return prepare(images[rows])

    trained = tuple(name for name, parameter in net.named_parameters() if parameter.requires_grad)
    return TorchModels(net, tuple(states), (inputs,) * len(states), trained)


def network_modules(models: NetworkModels, image_shape: Shape, n_classes: int) -> TorchModels:
    """Return whole networks as torch modules."""
    recipe = models.recipe
    architecture = architecture_of(recipe.network.kind)
    net = architecture.build(shape_after(recipe.augmentations, image_shape), recipe.network.sizes, n_classes).eval()
    rows = range(len(next(iter(models.state.values()))))
    net.to(next(iter(models.state.values())).device)

    def state(row: int) -> dict[str, Tensor]:
        values = {name: value[row] for name, value in models.state.items()}
        return {**net.state_dict(), **(to_module(values) if architecture.stack else values)}

    def inputs(row: int) -> Inputs:
        def prepare(images: UInt8[np.ndarray, "images height width channels"], rows: slice) -> Tensor:
            pixels = torch.from_numpy(images[rows]).to(models.normalization.mean.device)
            normalized = models.normalization.of(row)(evaluated(recipe.augmentations, pixels)[None])[0]
            return normalized.permute(0, 3, 1, 2)

        return prepare

    trained = tuple(net.trained_names(recipe.network.trainable))
    return TorchModels(net, tuple(state(row) for row in rows), tuple(inputs(row) for row in rows), trained)


def head_modules(models: HeadModels) -> TorchModels:
    """Return heads as torch modules on the features of their backbone, which no gradient enters."""

    def features(images: UInt8[np.ndarray, "images height width channels"], rows: slice) -> Tensor:
        # Features that were computed in inference mode cannot take part in a gradient.
        return models.backbone.features(images)[rows].clone()

    layer = copy.deepcopy(models.backbone.net.head_layer()).eval()
    rows = range(len(next(iter(models.state.values()))))
    states = [
        {
            name.rpartition(".")[2]: value
            for name, value in to_module({n: v[row] for n, v in models.state.items()}).items()
        }
        for row in rows
    ]
    return TorchModels(layer, tuple(states), (features,) * len(states), tuple(n for n, _ in layer.named_parameters()))
