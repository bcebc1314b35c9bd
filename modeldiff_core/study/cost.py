"""What training one model costs, counted from its network and recipe, so that it is the same on every machine."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from modeldiff_core.data.expected import Expected
from modeldiff_core.models import architecture_of
from modeldiff_core.study.build import build_algorithm
from modeldiff_core.study.trainings import Training
from modeldiff_core.training.operations import shape_after
from modeldiff_core.training.settings import Recipe

PASSES = 3
"""Forward passes that a step costs: one, and about two for the gradients of activations and of weights."""


def training_flops(training: Training) -> float | None:
    """Return the floating-point operations that training one model on all data takes; None for what is not counted.

    3·F·n·e, F the operations of one image's forward pass (products and convolutions, a multiplication and an addition
    each one operation), n training examples, e epochs. Augmentations, normalization and activations are left out.
    Counted for algorithms of kind sgd whose weights are all trained.
    """
    algorithm, data = build_algorithm(training.algorithm, training.key), training.load()
    if not isinstance(algorithm, Recipe):
        return None
    return recipe_flops(algorithm, Expected(len(data.train), data.image_shape, len(data.classes)))


def recipe_flops(recipe: Recipe, size: Expected) -> float | None:
    """Return the same for a recipe on data of a size; None where some of its weights are not trained."""
    if recipe.network.trainable != "all":
        return None
    height, width, channels = shape_after(recipe.augmentations, size.image_shape)
    network = recipe.network
    with torch.device("meta"):
        net = architecture_of(network.kind).build((height, width, channels), network.sizes, size.classes).eval()
        image = torch.zeros(1, channels, height, width)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(image)
    return float(PASSES * counter.get_total_flops() * size.train * recipe.epochs)
