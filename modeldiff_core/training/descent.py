"""Parts that all trainers of a recipe share: order of examples, inputs of a network, and update of its weights.

All randomness is drawn from (seed, model, epoch), so that a model is the same whichever trainer makes it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from modeldiff_core.identity import generator
from modeldiff_core.training.normalization import Normalization
from modeldiff_core.training.operations import augmented, draws_per_image
from modeldiff_core.training.schedules import learning_rate
from modeldiff_core.training.settings import Recipe


def epoch_draws(
    recipe: Recipe,
    members: Int[np.ndarray, "models subset"],
    models: Sequence[int],
    seed: int,
    epoch: int,
    image_shape: tuple[int, int, int],
) -> tuple[Int[np.ndarray, "models subset"], Float[np.ndarray, "models subset draws"]]:
    """Return the order in which each model sees its examples, and the uniform draws of their augmentation.

    Args:
        recipe: Its augmentations decide the number of draws.
        members: Positions of the examples that each model sees.
        models: Number of each model.
        seed: Seed of the algorithm.
        epoch: Which pass over the examples.
        image_shape: Height, width and channels before augmentation.
    """
    width = draws_per_image(recipe.augmentations, image_shape)
    order = np.empty_like(members)
    draws = np.zeros((*members.shape, width), np.float32)
    for row, model in enumerate(models):
        order[row] = generator("order", seed, int(model), epoch).permutation(members[row])
        if width:
            generator("augmentation", seed, int(model), epoch).random(out=draws[row], dtype=np.float32)
    return order, draws


def network_inputs(
    recipe: Recipe,
    normalization: Normalization,
    pixels: Float[Tensor, "models batch height width channels"],
    draws: Float[Tensor, "models batch draws"],
) -> Float[Tensor, "models batch out_height out_width channels"]:
    """Return augmented and normalized training images of pixels in 0..255, which are overwritten."""
    x = pixels.div_(255)
    if recipe.augmentations:
        x = augmented(recipe.augmentations, x.flatten(0, 1), draws.flatten(0, 1)).unflatten(0, x.shape[:2])
    return normalization(x)


def rate_of(recipe: Recipe, step: int, batches: int) -> float:
    """Return the learning rate of a step, with `batches` steps per epoch."""
    return learning_rate(recipe.schedule, step, recipe.epochs * batches, recipe.learning_rate, recipe.peak)


class Momentum:
    """Heavy-ball descent in place: v ← μv + g + decay·w, w ← w − ηv."""

    def __init__(self, recipe: Recipe, values: Sequence[Tensor]) -> None:
        self.recipe, self.values = recipe, list(values)
        self.velocities = [torch.zeros_like(value) for value in self.values]

    @torch.no_grad()
    def step(self, gradients: tuple[Tensor, ...], rate: float) -> None:
        """Update the values once at learning rate η = rate."""
        torch._foreach_mul_(self.velocities, self.recipe.momentum)
        torch._foreach_add_(self.velocities, gradients)
        torch._foreach_add_(self.velocities, self.values, alpha=self.recipe.weight_decay)
        torch._foreach_add_(self.values, self.velocities, alpha=-rate)


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """Return a context in which computations have the recipe's precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
