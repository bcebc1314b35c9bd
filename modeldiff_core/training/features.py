"""Features of a frozen backbone: computed once for an image and process, not once a model."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from modeldiff_core.models import Net, Shape
from modeldiff_core.training.normalisation import from_subsets, given
from modeldiff_core.training.operations import draws_per_image, evaluated
from modeldiff_core.training.settings import Recipe
from modeldiff_core.training.single import put_state

BATCH_PIXELS = 2**22
"""Most pixels of images that the backbone takes at once."""
KEPT = 4
"""Sets of images whose features a process keeps."""

_kept: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()


def is_frozen(recipe: Recipe, image_shape: Shape) -> bool:
    """Whether all models of the recipe see the same features of an image: one backbone, nothing random before it."""
    return (
        recipe.network.trainable == "head"
        and recipe.network.init != "random"
        and draws_per_image(recipe.augmentations, image_shape) == 0
        and not from_subsets(recipe)
    )


@dataclass(frozen=True)
class Backbone:
    """A network without its head; state: its weights, of any head."""

    recipe: Recipe
    net: Net
    state: dict[str, Tensor]
    device: torch.device

    def features(
        self, images: UInt8[np.ndarray, "images height width channels"], mirrored: bool = False
    ) -> Float[Tensor, "images features"]:
        """What the head is given for each image, in float32; mirrored: for its mirror image."""
        pixels = hashlib.sha256(np.ascontiguousarray(images).reshape(-1).view(np.uint8).data).digest()
        key = (self.recipe.network, self.recipe.mean, self.recipe.scale, self.recipe.augmentations, str(self.device))
        entry = (*key, images.shape, pixels, mirrored)
        if entry not in _kept:
            _kept[entry] = self._computed(images, mirrored)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(entry)
        return _kept[entry]

    def _computed(
        self, images: UInt8[np.ndarray, "images height width channels"], mirrored: bool
    ) -> Float[Tensor, "images features"]:
        put_state(self.net, self.state)
        self.net.eval()
        normalisation = given(self.recipe, self.device)
        seen: list[Tensor] = []

        def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen.append(inputs[0].clone())

        hook = self.net.head_layer().register_forward_pre_hook(keep)
        step = max(1, BATCH_PIXELS // int(np.prod(images.shape[1:])))
        try:
            with torch.no_grad():
                for at in range(0, len(images), step):
                    pixels = torch.from_numpy(images[at : at + step]).to(self.device).float().div_(255)
                    shown = evaluated(self.recipe.augmentations, pixels)
                    x = normalisation((shown.flip(2) if mirrored else shown)[None])[0]
                    self.net(x.permute(0, 3, 1, 2))
        finally:
            hook.remove()
        return torch.cat(seen)
