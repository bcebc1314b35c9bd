"""Many small networks trained as one."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.training.descent import Momentum, autocast, epoch_draws, rate_of
from modeldiff_core.training.settings import Recipe

Logits = Callable[[dict[str, Tensor], Tensor], Tensor]
"""Parameters [models, ...] and inputs [models, batch, ...] to logits [models, batch, classes]."""
Inputs = Callable[[Tensor, Tensor], Tensor]
"""Positions [models, batch] and draws [models, batch, draws] to inputs [models, batch, ...]."""


def train_stack(
    recipe: Recipe,
    logits: Logits,
    inputs: Inputs,
    starts: Sequence[dict[str, Tensor]],
    trained: Sequence[str],
    labels: Int[Tensor, " train"],
    masks: Bool[np.ndarray, "models train"],
    models: Sequence[int],
    seed: int,
    image_shape: tuple[int, int, int],
    steps: int | None = None,
) -> dict[str, Float[Tensor, "models ..."]]:
    """Parameters [models, ...] after training on the labels' device.

    starts: each model's parameters before training. trained: names of those that change. steps: stop after so many,
    to measure.
    """
    device = labels.device
    parameters = {name: torch.stack([start[name] for start in starts]).to(device) for name in starts[0]}
    values = [parameters[name].requires_grad_() for name in trained]
    descent = Momentum(recipe, values)
    members = np.stack([np.flatnonzero(mask) for mask in masks])
    for rate, index, draws in islice(_steps(recipe, members, models, seed, image_shape, device), steps):
        with autocast(recipe, device):
            outputs = logits(parameters, inputs(index, draws))
        loss = F.cross_entropy(
            outputs.float().flatten(0, 1), labels[index].flatten(), label_smoothing=recipe.label_smoothing,
            reduction="sum",
        )  # fmt: skip
        descent.step(torch.autograd.grad(loss / index.shape[1], values), rate)
    return {name: value.detach() for name, value in parameters.items()}


def _steps(
    recipe: Recipe,
    members: Int[np.ndarray, "models subset"],
    models: Sequence[int],
    seed: int,
    image_shape: tuple[int, int, int],
    device: torch.device,
) -> Iterator[tuple[float, Int[Tensor, "models batch"], Float[Tensor, "models batch draws"]]]:
    """Learning rate, positions and draws of every step."""
    batches = -(-members.shape[1] // recipe.batch_size)
    for epoch in range(recipe.epochs):
        order, draws = epoch_draws(recipe, members, models, seed, epoch, image_shape)
        order_, draws_ = torch.from_numpy(order).to(device), torch.from_numpy(draws).to(device)
        for batch in range(batches):
            span = slice(batch * recipe.batch_size, (batch + 1) * recipe.batch_size)
            yield rate_of(recipe, epoch * batches + batch, batches), order_[:, span], draws_[:, span]
