"""Networks trained one after the other, as ordinary torch modules."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.errors import ConfigError
from modeldiff_core.models import Net, Shape, architecture_of
from modeldiff_core.models.initial import plain_state
from modeldiff_core.training.batches import ImageSource
from modeldiff_core.training.descent import Momentum, autocast, epoch_draws, network_inputs, rate_of
from modeldiff_core.training.normalisation import Normalisation
from modeldiff_core.training.settings import Network, Recipe

Forward = Callable[[Tensor], Tensor]


@lru_cache(maxsize=4)
def workbench(
    network: Network, image_shape: Shape, n_classes: int, device: torch.device, compiled: bool
) -> tuple[Net, Forward]:
    """The module that models are trained in one after the other, and how it is called: compiled once a process.

    Its weights are those of whoever used it last.
    """
    net = architecture_of(network.kind).build(image_shape, network.sizes, n_classes)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net, torch.compile(net, dynamic=False) if compiled else net


def train_single(
    recipe: Recipe,
    bench: tuple[Net, Forward],
    source: ImageSource,
    normalisation: Normalisation,
    start: Mapping[str, Tensor],
    labels: Int[Tensor, " train"],
    mask: Bool[np.ndarray, " train"],
    model: int,
    seed: int,
    image_shape: Shape,
    steps: int | None = None,
) -> dict[str, Float[Tensor, "..."]]:
    """One model's state after training from `start` on the images that its mask leaves in.

    Layers that are not trained keep their state, running statistics included. steps: stop after so many, to measure.
    """
    net, forward = bench
    device = labels.device
    put_state(net, start)
    trained = net.trained_names(recipe.network.trainable)
    net.train_only(trained)
    values = [net.get_parameter(name) for name in trained]
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name in trained)
    descent = Momentum(recipe, values)
    members = np.flatnonzero(mask)[None]
    batches = -(-members.shape[1] // recipe.batch_size)
    total = recipe.epochs * batches
    step, last = 0, total if steps is None else min(steps, total)
    while step < last:
        order, draws = epoch_draws(recipe, members, [model], seed, step // batches, image_shape)
        at = 0
        for pixels in islice(source.batches(order[0], recipe.batch_size), last - step):
            span = slice(at, at + len(pixels))
            rows = torch.from_numpy(draws[:, span]).to(device)
            x = network_inputs(recipe, normalisation, pixels[None].float(), rows)[0].permute(0, 3, 1, 2)
            with autocast(recipe, device):
                logits = forward(x)
            target = labels[torch.from_numpy(order[0, span]).to(device)]
            loss = F.cross_entropy(logits.float(), target, label_smoothing=recipe.label_smoothing)
            descent.step(torch.autograd.grad(loss, values), rate_of(recipe, step, batches))
            step, at = step + 1, span.stop
    return {name: value.detach().clone() for name, value in plain_state(net).items()}


def put_state(net: Net, state: Mapping[str, Tensor]) -> None:
    """Give a module these weights and statistics, and nothing of the model before."""
    with torch.no_grad():
        for name, value in plain_state(net).items():
            value.copy_(state[name])


def check_batches(recipe: Recipe, net: Net, size: int) -> None:
    """Raise ConfigError if batch normalisation would have to do with one example."""
    norms = any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    if norms and recipe.network.trainable != "head" and size % recipe.batch_size == 1:
        raise ConfigError(
            "recipe.batch_size",
            f"a size that leaves no batch of one for the batch normalisation of {recipe.network.kind}",
            recipe.batch_size,
            f"The last batch of {size} examples has one; change it by a few",
        )
