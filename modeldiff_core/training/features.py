"""Features of a frozen backbone, computed once per image and process instead of once per model."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from modeldiff_core.models import Net, Shape
from modeldiff_core.training.normalization import fixed_normalization, from_subsets
from modeldiff_core.training.operations import draws_per_image, evaluated
from modeldiff_core.training.settings import Recipe
from modeldiff_core.training.single import put_state

BATCH_PIXELS = 2**22
"""Maximum of pixels in one batch of the backbone."""
CACHED_SETS = 4
"""Sets of images whose features a process keeps."""

_cache: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()


def is_frozen(recipe: Recipe, image_shape: Shape) -> bool:
    """Return whether all models share the features of an image: one frozen backbone, nothing random before it."""
    return (
        recipe.network.trainable == "head"
        and recipe.network.init != "random"
        and draws_per_image(recipe.augmentations, image_shape) == 0
        and not from_subsets(recipe)
    )


@dataclass(frozen=True)
class Backbone:
    """A network up to its head.

    Attributes:
        recipe: Settings of the network and its images.
        net: The module, whose weights are overwritten before use.
        state: Weights of the whole network; those of the head do not matter.
        device: Where it computes.
    """

    recipe: Recipe
    net: Net
    state: dict[str, Tensor]
    device: torch.device

    def features(
        self, images: UInt8[np.ndarray, "images height width channels"], mirrored: bool = False
    ) -> Float[Tensor, "images features"]:
        """Return the float32 input of the head for each image, or for its mirror image."""
        pixels = hashlib.sha256(np.ascontiguousarray(images).reshape(-1).view(np.uint8).data).digest()
        key = (self.recipe.network, self.recipe.mean, self.recipe.scale, self.recipe.augmentations, str(self.device))
        entry = (*key, images.shape, pixels, mirrored)
        if entry not in _cache:
            _cache[entry] = self._computed(images, mirrored)
            while len(_cache) > CACHED_SETS:
                _cache.popitem(last=False)
        _cache.move_to_end(entry)
        return _cache[entry]

    def _computed(
        self, images: UInt8[np.ndarray, "images height width channels"], mirrored: bool
    ) -> Float[Tensor, "images features"]:
        put_state(self.net, self.state)
        self.net.eval()
        normalization = fixed_normalization(self.recipe, self.device)
        features: list[Tensor] = []

        def record(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            features.append(inputs[0].clone())

        hook = self.net.head_layer().register_forward_pre_hook(record)
        step = max(1, BATCH_PIXELS // int(np.prod(images.shape[1:])))
        try:
            with torch.no_grad():
                for at in range(0, len(images), step):
                    pixels = torch.from_numpy(images[at : at + step]).to(self.device).float().div_(255)
                    shown = evaluated(self.recipe.augmentations, pixels)
                    x = normalization((shown.flip(2) if mirrored else shown)[None])[0]
                    self.net(x.permute(0, 3, 1, 2))
        finally:
            hook.remove()
        return torch.cat(features)
