"""Training of a cohort in compiled code, model by model, so that none depends on how many are trained together."""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from modeldiff_core.images import unit
from modeldiff_core.training.batches import ImageSource, Resident
from modeldiff_core.training.cohort import Cohort
from modeldiff_core.training.descent import rate_of
from modeldiff_core.training.native.layout import Layout
from modeldiff_core.training.native.network import NativeNetwork, Passes, Rules, Table
from modeldiff_core.training.normalization import Normalization
from modeldiff_core.training.operations import changed
from modeldiff_core.training.settings import Recipe
from modeldiff_core.training.trained import Evaluator, State

AUGMENTED_VALUES = 2**22
"""Maximum of pixel values that are augmented at once."""
EVALUATION_BATCH = 64
"""Images of one evaluation batch: few enough for the activations of all layers to stay in the processor's cache."""


def train_native(
    recipe: Recipe,
    layout: Layout,
    source: ImageSource,
    normalization: Normalization,
    starts: Iterator[Mapping[str, Tensor]],
    cohort: Cohort,
) -> dict[str, Float[Tensor, "models ..."]]:
    """Train a cohort and return its parameters [models, ...].

    Args:
        recipe: Settings of training.
        layout: The network as compiled code sees it.
        source: The images.
        normalization: Constants of the cohort's models.
        starts: Parameters of each model before training.
        cohort: The models, on the CPU.
    """
    network = NativeNetwork(layout, recipe.batch_size, half=recipe.precision == "bfloat16")
    rules = Rules(recipe.momentum, recipe.weight_decay, recipe.label_smoothing)
    states = []
    for row, start in enumerate(starts):
        parameters, velocity = layout.packed(start), torch.zeros(layout.size)
        for passes in _passes(recipe, source, normalization.of(row), cohort.rows(slice(row, row + 1))):
            network.train(parameters, velocity, passes, rules)
        states.append(layout.unpacked(parameters))
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def _passes(recipe: Recipe, source: ImageSource, normalization: Normalization, cohort: Cohort) -> Iterator[Passes]:
    """Yield all steps of a cohort of one model: at once if its images need no change and lie in memory."""
    batch, batches = recipe.batch_size, cohort.batches(recipe)
    labels = np.ascontiguousarray(cohort.labels.numpy(), np.int64)
    rates = _rates(recipe, batches)[: cohort.steps]
    epochs = -(-len(rates) // batches)

    def drawn(epoch: int) -> tuple[Int[np.ndarray, " part"], Float[np.ndarray, "images draws"]]:
        orders, draws = cohort.draws(recipe, epoch)
        left = (len(rates) - epoch * batches) * batch
        return orders[0, :left], draws[0]

    if isinstance(source, Resident) and not recipe.augmentations:
        order = np.concatenate([drawn(epoch)[0] for epoch in range(epochs)])
        yield Passes(as_bytes(source.images, normalization), order, labels[order], rates, cohort.members.shape[1])
        return
    values = batch * int(np.prod(cohort.image_shape))
    at_once = batch * max(1, AUGMENTED_VALUES // values) if isinstance(source, Resident) else batch
    for epoch in range(epochs):
        order, draws = drawn(epoch)
        at = 0
        for images in source.batches(np.ascontiguousarray(order), at_once):
            span, step = slice(at, at + len(images)), epoch * batches + at // batch
            table = _augmented(recipe, normalization, images, torch.from_numpy(draws[span]))
            rates_here = rates[step : step - (-len(images) // batch)]
            yield Passes(table, np.arange(len(images)), labels[order[span]], rates_here, len(images))
            at = span.stop


@lru_cache(maxsize=4)
def _rates(recipe: Recipe, batches: int) -> Float[np.ndarray, " steps"]:
    """Return the learning rate of every step, the same for all models of a recipe."""
    return np.array([rate_of(recipe, step, batches) for step in range(recipe.epochs * batches)], np.float32)


def _augmented(
    recipe: Recipe,
    normalization: Normalization,
    images: UInt8[Tensor, "part height width channels"],
    draws: Float[Tensor, "part draws"],
) -> Table:
    """Return training images after augmentation, as bytes where every operation keeps bytes."""
    if all(operation.exact_on_bytes for operation in recipe.augmentations):
        return as_bytes(changed(recipe.augmentations, images, draws), normalization)
    return _as_floats(unit(changed(recipe.augmentations, images, draws)), normalization)


def _as_floats(pixels: Float[Tensor, "images height width channels"], normalization: Normalization) -> Table:
    inputs = normalization(pixels[None])[0]
    return Table(inputs.reshape(len(pixels), -1).contiguous())


def as_bytes(images: UInt8[Tensor, "images height width channels"], normalization: Normalization) -> Table:
    """Return images as bytes, with (byte/255 − mean)/scale written as slope·byte + offset."""
    mean, scale = normalization.mean[0].double(), normalization.scale[0].double()
    features = images[0].numel()
    slope, offset = (
        value.expand(images.shape[3]).repeat(features // images.shape[3]).float()
        for value in (1 / (255 * scale), -mean / scale)
    )
    return Table(images.reshape(len(images), features).contiguous(), slope, offset)


def native_evaluator(layout: Layout) -> Evaluator:
    """Return an evaluator that takes one model after the other, and images as bytes where they still are bytes."""
    network = NativeNetwork(layout, EVALUATION_BATCH)

    def logits(state: State, images: Tensor, normalization: Normalization) -> Tensor:
        constants = [normalization.of(row) for row in range(len(normalization.mean))]
        convert = as_bytes if images.dtype == torch.uint8 else _as_floats
        tables = [convert(images, each) for each in constants]
        out = []
        for row in range(len(next(iter(state.values())))):
            parameters = layout.packed({name: value[row] for name, value in state.items()})
            out.append(network.logits(parameters, tables[0 if len(tables) == 1 else row]))
        return torch.stack(out)

    return Evaluator(logits, together=False)
