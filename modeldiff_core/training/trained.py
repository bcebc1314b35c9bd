"""Trained networks, ready to be evaluated."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.func import functional_call

from modeldiff_core.images import unit
from modeldiff_core.models import Net, Shape, StackedHead, StackedNetwork
from modeldiff_core.training.batches import ImageSource
from modeldiff_core.training.features import Backbone
from modeldiff_core.training.normalization import Normalization, from_subsets
from modeldiff_core.training.operations import sized
from modeldiff_core.training.settings import Recipe

EVALUATION_PIXELS = 2**24
"""Maximum of pixels, over models and images, in one evaluation launch."""
MEAN, SCALE = "normalisation.mean", "normalisation.scale"
"""Names under which models that computed their constants store them among their weights; part of stored objects."""

State = Mapping[str, Tensor]
"""Named tensors [models, ...]."""


@dataclass(frozen=True)
class Evaluator:
    """A way to evaluate networks.

    Attributes:
        logits: Maps states, prepared images (bytes, or pixels in 0..1) and their normalization to logits [models,
            images, classes].
        together: Whether the inputs of all models are in memory at once.
    """

    logits: Callable[[State, Tensor, Normalization], Tensor]
    together: bool = True


def stack_evaluator(network: StackedNetwork) -> Evaluator:
    """Return an evaluator of all models in one launch."""

    def logits(state: State, images: Tensor, normalization: Normalization) -> Tensor:
        models, x = len(next(iter(state.values()))), normalization(unit(images)[None])
        return network.logits(dict(state), x.expand(models, *x.shape[1:]))

    return Evaluator(logits)


def module_evaluator(net: Net) -> Evaluator:
    """Return an evaluator of one model after the other, with running statistics of batch normalization."""

    def logits(state: State, images: Tensor, normalization: Normalization) -> Tensor:
        net.eval()
        inputs, out = normalization(unit(images)[None]).permute(0, 1, 4, 2, 3), []
        for row in range(len(next(iter(state.values())))):
            x = inputs[0 if len(inputs) == 1 else row]
            out.append(functional_call(net, {name: value[row] for name, value in state.items()}, (x,)))
        return torch.stack(out)

    return Evaluator(logits)


@dataclass(frozen=True)
class NetworkModels:
    """Networks of one recipe: states [models, ...] on one device."""

    recipe: Recipe
    evaluator: Evaluator
    state: dict[str, Tensor]
    normalization: Normalization

    def logits(
        self, images: UInt8[np.ndarray, "targets height width channels"]
    ) -> Float[np.ndarray, "models targets classes"]:
        """Return float32 logits without augmentation, computed in batches that fit the memory."""
        device, step = self._any_tensor.device, self._step(images.shape[1:])
        return self._logits(torch.from_numpy(images[at : at + step]).to(device) for at in range(0, len(images), step))

    def streamed_logits(
        self, source: ImageSource, targets: int, image_shape: Shape
    ) -> Float[np.ndarray, "models targets classes"]:
        """Return the logits of the source's first images, without holding all of them in memory."""
        return self._logits(source.batches(np.arange(targets), self._step(image_shape)))

    @property
    def _any_tensor(self) -> Tensor:
        return next(iter(self.state.values()))

    def _step(self, image_shape: tuple[int, ...]) -> int:
        """Return the number of images in one evaluation batch."""
        models = len(self._any_tensor) if self.evaluator.together else 1
        return max(1, EVALUATION_PIXELS // (models * int(np.prod(image_shape))))

    @torch.inference_mode()
    def _logits(
        self, batches: Iterable[UInt8[Tensor, "batch height width channels"]]
    ) -> Float[np.ndarray, "models targets classes"]:
        out = []
        for batch in batches:
            images = sized(self.recipe.augmentations, batch)
            logits = self.evaluator.logits(self.state, images, self.normalization)
            if self.recipe.test_time == "flip":
                logits = (logits + self.evaluator.logits(self.state, images.flip(2), self.normalization)) / 2
            out.append(logits.cpu())
        return torch.cat(out, 1).numpy()

    def weights(self) -> dict[str, Float[np.ndarray, "models ..."]]:
        """Return parameters, running statistics and constants computed from subsets as float32 arrays."""
        kept = dict(self.state)
        if from_subsets(self.recipe):
            kept |= {MEAN: self.normalization.mean, SCALE: self.normalization.scale}
        return {name: value.contiguous().cpu().numpy() for name, value in kept.items()}


@dataclass(frozen=True)
class HeadModels:
    """Heads [models, ...] on one frozen backbone, whose features of an image are computed once per process."""

    backbone: Backbone
    head: StackedHead
    state: dict[str, Tensor]

    @torch.inference_mode()
    def logits(
        self, images: UInt8[np.ndarray, "targets height width channels"]
    ) -> Float[np.ndarray, "models targets classes"]:
        """Return float32 logits without augmentation."""
        views = [self.backbone.features(images)]
        if self.backbone.recipe.test_time == "flip":
            views.append(self.backbone.features(images, mirrored=True))
        models = len(next(iter(self.state.values())))
        out = []
        for row in range(models):
            head = {name: value[row : row + 1] for name, value in self.state.items()}
            logits = torch.stack([self.head.logits(head, features[None])[0] for features in views])
            out.append(logits.mean(0).cpu())
        return torch.stack(out).numpy()

    def weights(self) -> dict[str, Float[np.ndarray, "models ..."]]:
        """Return the heads as float32 arrays; the backbone stays in the file that the recipe names."""
        return {name: value.contiguous().cpu().numpy() for name, value in self.state.items()}
