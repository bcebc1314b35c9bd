"""Subset models trained one after the other in compiled code, so that none depends on how many are trained together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from modeldiff_core.images import unit
from modeldiff_core.models import Shape
from modeldiff_core.training.batches import ImageSource, Resident
from modeldiff_core.training.descent import epoch_draws, rate_of
from modeldiff_core.training.native.layout import Layout
from modeldiff_core.training.native.network import NativeNetwork, Rules, Table
from modeldiff_core.training.normalisation import Normalisation
from modeldiff_core.training.operations import changed
from modeldiff_core.training.settings import Recipe
from modeldiff_core.training.trained import Evaluator, State

CHANGED_VALUES = 2**22
"""Most values of images that are augmented at once."""
EVALUATED = 64
"""Images that a network is evaluated on at once: few enough that what its layers keep of them stays in the cache."""


def train_native(
    recipe: Recipe,
    layout: Layout,
    source: ImageSource,
    normalisation: Normalisation,
    starts: Iterator[Mapping[str, Tensor]],
    labels: Int[np.ndarray, " train"],
    masks: Bool[np.ndarray, "models train"],
    models: Sequence[int],
    seed: int,
    image_shape: Shape,
    steps: int | None = None,
) -> dict[str, Float[Tensor, "models ..."]]:
    """Parameters [models, ...] after training.

    starts: each model's parameters before it. steps: stop after so many, to measure.
    """
    network = NativeNetwork(layout, recipe.batch_size, half=recipe.precision == "bfloat16")
    rules = Rules(recipe.momentum, recipe.weight_decay, recipe.label_smoothing)
    labels = np.ascontiguousarray(labels, np.int64)
    done = []
    for row, start in enumerate(starts):
        parameters, velocity = layout.packed(start), torch.zeros(layout.size)
        members, own = np.flatnonzero(masks[row]), normalisation.of(row)
        for part in _parts(recipe, layout, source, own, members, models[row], seed, image_shape, steps):
            targets = labels[part.examples]
            network.train(parameters, velocity, part.table, part.rows, targets, part.rates, rules, part.epoch)
        done.append(layout.unpacked(parameters))
    return {name: torch.stack([state[name] for state in done]) for name in done[0]}


@dataclass(frozen=True)
class _Part:
    """Some steps of training: rows of a table of images, which examples they are, and learning rates.

    epoch: rows of a pass over the subset, where there may be more than one pass.
    """

    table: Table
    rows: Int[np.ndarray, " part"]
    examples: Int[np.ndarray, " part"]
    rates: Float[np.ndarray, " steps"]
    epoch: int


def _parts(
    recipe: Recipe,
    layout: Layout,
    source: ImageSource,
    normalisation: Normalisation,
    members: Int[np.ndarray, " subset"],
    model: int,
    seed: int,
    image_shape: Shape,
    steps: int | None,
) -> Iterator[_Part]:
    """All steps of a model, at once where all its images lie in memory as they are."""
    batch, batches = recipe.batch_size, -(-len(members) // recipe.batch_size)
    rates = _rates(recipe, batches)[:steps]
    epochs = -(-len(rates) // batches)

    def drawn(epoch: int) -> tuple[Int[np.ndarray, " part"], Float[np.ndarray, "images draws"]]:
        orders, draws = epoch_draws(recipe, members[None], [model], seed, epoch, image_shape)
        left = (len(rates) - epoch * batches) * batch
        return orders[0, :left], draws[0]

    if isinstance(source, Resident) and not recipe.augmentations:
        order = np.concatenate([drawn(epoch)[0] for epoch in range(epochs)])
        yield _Part(_as_bytes(source.images, normalisation), order, order, rates, len(members))
        return
    values = batch * int(np.prod(image_shape))
    at_once = batch * max(1, CHANGED_VALUES // values) if isinstance(source, Resident) else batch
    for epoch in range(epochs):
        order, draws = drawn(epoch)
        at = 0
        for shown in source.batches(np.ascontiguousarray(order), at_once):
            span, step = slice(at, at + len(shown)), epoch * batches + at // batch
            table = _augmented(recipe, layout, normalisation, shown, torch.from_numpy(draws[span]))
            own = rates[step : step - (-len(shown) // batch)]
            yield _Part(table, np.arange(len(shown)), order[span], own, len(shown))
            at = span.stop


@lru_cache(maxsize=4)
def _rates(recipe: Recipe, batches: int) -> Float[np.ndarray, " steps"]:
    """The learning rate of every step, the same for all models of a recipe."""
    return np.array([rate_of(recipe, step, batches) for step in range(recipe.epochs * batches)], np.float32)


def _augmented(
    recipe: Recipe,
    layout: Layout,
    normalisation: Normalisation,
    images: UInt8[Tensor, "part height width channels"],
    draws: Float[Tensor, "part draws"],
) -> Table:
    """Training images after augmentation: still bytes where every operation leaves them so."""
    if all(operation.exact_on_bytes for operation in recipe.augmentations):
        return _as_bytes(changed(recipe.augmentations, images, draws), normalisation)
    return _as_floats(unit(changed(recipe.augmentations, images, draws)), normalisation)


def _as_floats(pixels: Float[Tensor, "images height width channels"], normalisation: Normalisation) -> Table:
    inputs = normalisation(pixels[None])[0]
    return Table(inputs.reshape(len(pixels), -1).contiguous())


def _as_bytes(images: UInt8[Tensor, "images height width channels"], normalisation: Normalisation) -> Table:
    """(byte/255 − mean)/scale as slope·byte + offset."""
    mean, scale = normalisation.mean[0].double(), normalisation.scale[0].double()
    features = images[0].numel()
    slope, offset = (
        value.expand(images.shape[3]).repeat(features // images.shape[3]).float()
        for value in (1 / (255 * scale), -mean / scale)
    )
    return Table(images.reshape(len(images), features).contiguous(), slope, offset)


def native_evaluator(layout: Layout) -> Evaluator:
    """One model after the other, of bytes as far as they were left as such."""
    network = NativeNetwork(layout, EVALUATED)

    def logits(state: State, images: Tensor, normalisation: Normalisation) -> Tensor:
        rows = [normalisation.of(row) for row in range(len(normalisation.mean))]
        tables = [_as_bytes(images, own) if images.dtype == torch.uint8 else _as_floats(images, own) for own in rows]
        out = []
        for row in range(len(next(iter(state.values())))):
            parameters = layout.packed({name: value[row] for name, value in state.items()})
            out.append(network.logits(parameters, tables[0 if len(tables) == 1 else row]))
        return torch.stack(out)

    return Evaluator(logits, together=False)
