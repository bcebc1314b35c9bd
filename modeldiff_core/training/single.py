"""Networks trained one after the other, as ordinary torch modules."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.errors import ConfigError
from modeldiff_core.models import Net, Shape, architecture_of
from modeldiff_core.models.initial import plain_state
from modeldiff_core.training.batches import ImageSource
from modeldiff_core.training.cohort import Cohort
from modeldiff_core.training.descent import Momentum, autocast, network_inputs, rate_of
from modeldiff_core.training.normalization import Normalization
from modeldiff_core.training.settings import Network, Recipe

Forward = Callable[[Tensor], Tensor]


@lru_cache(maxsize=4)
def workbench(
    network: Network, image_shape: Shape, n_classes: int, device: torch.device, compiled: bool
) -> tuple[Net, Forward]:
    """Return the module in which models are trained one after the other, and its forward pass.

    Both are made once a process, since compilation takes seconds. The module keeps the weights of its last use.
    """
    net = architecture_of(network.kind).build(image_shape, network.sizes, n_classes)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net, torch.compile(net, dynamic=False) if compiled else net


def train_single(
    recipe: Recipe,
    bench: tuple[Net, Forward],
    source: ImageSource,
    normalization: Normalization,
    start: Mapping[str, Tensor],
    cohort: Cohort,
) -> dict[str, Float[Tensor, "..."]]:
    """Train a cohort of one model from `start` and return its state.

    Layers that are not trained keep their state, including running statistics.

    Args:
        recipe: Settings of training.
        bench: The module and its forward pass, from ``workbench``.
        source: The images.
        normalization: Constants of this model.
        start: The model's state before training.
        cohort: The model.
    """
    net, forward = bench
    device = cohort.device
    put_state(net, start)
    trained = net.trained_names(recipe.network.trainable)
    net.train_only(trained)
    values = [net.get_parameter(name) for name in trained]
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name in trained)
    descent = Momentum(recipe, values)
    batches = cohort.batches(recipe)
    total = recipe.epochs * batches
    step, last = 0, total if cohort.steps is None else min(cohort.steps, total)
    while step < last:
        order, draws = cohort.draws(recipe, step // batches)
        at = 0
        for pixels in islice(source.batches(order[0], recipe.batch_size), last - step):
            span = slice(at, at + len(pixels))
            rows = torch.from_numpy(draws[:, span]).to(device)
            x = network_inputs(recipe, normalization, pixels[None].float(), rows)[0].permute(0, 3, 1, 2)
            with autocast(recipe, device):
                logits = forward(x)
            target = cohort.labels[torch.from_numpy(order[0, span]).to(device)]
            loss = F.cross_entropy(logits.float(), target, label_smoothing=recipe.label_smoothing)
            descent.step(torch.autograd.grad(loss, values), rate_of(recipe, step, batches))
            step, at = step + 1, span.stop
    return {name: value.detach().clone() for name, value in plain_state(net).items()}


def put_state(net: Net, state: Mapping[str, Tensor]) -> None:
    """Overwrite all weights and running statistics of a module."""
    with torch.no_grad():
        for name, value in plain_state(net).items():
            value.copy_(state[name])


def check_batches(recipe: Recipe, net: Net, size: int) -> None:
    """Raise ConfigError if some batch of an epoch would leave one example to batch normalization."""
    norms = any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    if norms and recipe.network.trainable != "head" and size % recipe.batch_size == 1:
        raise ConfigError(
            "recipe.batch_size",
            f"a size that leaves no batch of one for the batch normalization of {recipe.network.kind}",
            recipe.batch_size,
            f"The last batch of {size} examples has one; choose a slightly different size",
        )
