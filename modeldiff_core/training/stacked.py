"""Many small networks trained together as one stack."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.training.cohort import Cohort
from modeldiff_core.training.descent import Momentum, autocast, rate_of
from modeldiff_core.training.settings import Recipe

Logits = Callable[[dict[str, Tensor], Tensor], Tensor]
"""Maps parameters [models, ...] and inputs [models, batch, ...] to logits [models, batch, classes]."""
Inputs = Callable[[Tensor, Tensor], Tensor]
"""Maps positions [models, batch] and draws [models, batch, draws] to inputs [models, batch, ...]."""


def train_stack(
    recipe: Recipe,
    logits: Logits,
    inputs: Inputs,
    starts: Sequence[dict[str, Tensor]],
    trained: Sequence[str],
    cohort: Cohort,
) -> dict[str, Float[Tensor, "models ..."]]:
    """Train a cohort and return its parameters [models, ...] on the cohort's device.

    Args:
        recipe: Settings of training.
        logits: The networks.
        inputs: Makes the inputs of the networks for one step.
        starts: Parameters of each model before training.
        trained: Names of the parameters that change.
        cohort: The models.
    """
    device, smoothing = cohort.device, recipe.label_smoothing
    parameters = {name: torch.stack([start[name] for start in starts]).to(device) for name in starts[0]}
    values = [parameters[name].requires_grad_() for name in trained]
    descent = Momentum(recipe, values)
    for rate, index, draws in islice(_steps(recipe, cohort), cohort.steps):
        with autocast(recipe, device):
            outputs = logits(parameters, inputs(index, draws)).float().flatten(0, 1)
        targets = cohort.labels[index].flatten()
        # The models share no parameter, so the sum of their losses has the gradients of each model's loss.
        loss = F.cross_entropy(outputs, targets, label_smoothing=smoothing, reduction="sum")
        descent.step(torch.autograd.grad(loss / index.shape[1], values), rate)
    return {name: value.detach() for name, value in parameters.items()}


def _steps(
    recipe: Recipe, cohort: Cohort
) -> Iterator[tuple[float, Int[Tensor, "models batch"], Float[Tensor, "models batch draws"]]]:
    """Yield learning rate, positions and draws of every step."""
    batches = cohort.batches(recipe)
    for epoch in range(recipe.epochs):
        order_, draws_ = (torch.from_numpy(values).to(cohort.device) for values in cohort.draws(recipe, epoch))
        for batch in range(batches):
            span = slice(batch * recipe.batch_size, (batch + 1) * recipe.batch_size)
            yield rate_of(recipe, epoch * batches + batch, batches), order_[:, span], draws_[:, span]
