"""Subset models trained one after the other in compiled code, so that none depends on how many are trained together."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from modeldiff_core.models import Shape
from modeldiff_core.training.batches import ImageSource, Resident
from modeldiff_core.training.descent import epoch_draws, network_inputs, rate_of
from modeldiff_core.training.native.layout import Layout
from modeldiff_core.training.native.network import NativeNetwork, Rules, Table
from modeldiff_core.training.normalisation import Normalisation
from modeldiff_core.training.operations import changed
from modeldiff_core.training.settings import Recipe

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
        members = np.flatnonzero(masks[row])
        parts = _parts(recipe, layout, source, normalisation.of(row), members, models[row], seed, image_shape, steps)
        for table, rows, order, rates in parts:
            network.train(parameters, velocity, table, rows, labels[order], rates, rules)
        done.append(layout.unpacked(parameters))
    return {name: torch.stack([state[name] for state in done]) for name in done[0]}


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
) -> Iterator[tuple[Table, Int[np.ndarray, " part"], Int[np.ndarray, " part"], Float[np.ndarray, " steps"]]]:
    """Runs of whole steps: a table of images, rows of it, which images they are, and learning rates."""
    batch, batches = recipe.batch_size, -(-len(members) // recipe.batch_size)
    total = recipe.epochs * batches if steps is None else min(steps, recipe.epochs * batches)
    rates = np.array([rate_of(recipe, step, batches) for step in range(total)], np.float32)
    resident = isinstance(source, Resident)
    at_once = batch * max(1, CHANGED_VALUES // (batch * int(np.prod(image_shape)))) if resident else batch
    whole = (
        None if recipe.augmentations or not isinstance(source, Resident) else _as_bytes(source.images, normalisation)
    )
    for first in range(0, total, batches):
        orders, draws = epoch_draws(recipe, members[None], [model], seed, first // batches, image_shape)
        order = np.ascontiguousarray(orders[0, : (total - first) * batch])
        if whole is not None:
            yield whole, order, order, rates[first : first + batches]
            continue
        at = 0
        for shown in source.batches(order, at_once):
            span, step = slice(at, at + len(shown)), first + at // batch
            table = _augmented(recipe, layout, normalisation, shown, torch.from_numpy(draws[0, span]))
            yield table, np.arange(len(shown)), order[span], rates[step : step - (-len(shown) // batch)]
            at = span.stop


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
    inputs = network_inputs(recipe, normalisation, images[None].float(), draws[None])
    return Table(inputs.reshape(len(images), layout.features))


def _as_bytes(images: UInt8[Tensor, "images height width channels"], normalisation: Normalisation) -> Table:
    """(byte/255 − mean)/scale as slope·byte + offset."""
    mean, scale = normalisation.mean[0].double(), normalisation.scale[0].double()
    features = images[0].numel()
    slope, offset = (
        value.expand(images.shape[3]).repeat(features // images.shape[3]).float()
        for value in (1 / (255 * scale), -mean / scale)
    )
    return Table(images.reshape(len(images), features).contiguous(), slope, offset)


def native_evaluator(layout: Layout) -> Callable[[Mapping[str, Tensor], Tensor], Tensor]:
    """States [models, ...] and normalised images (a row for all models, or one each) to [models, images, classes]."""
    network = NativeNetwork(layout, EVALUATED)

    def evaluate(state: Mapping[str, Tensor], images: Tensor) -> Tensor:
        tables = [Table(own.reshape(len(own), layout.features).contiguous()) for own in images]
        out = []
        for row in range(len(next(iter(state.values())))):
            parameters = layout.packed({name: value[row] for name, value in state.items()})
            out.append(network.logits(parameters, tables[0 if len(tables) == 1 else row]))
        return torch.stack(out)

    return evaluate
