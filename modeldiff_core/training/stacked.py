"""Many small networks trained as one: the trainer behind ``kind: sgd``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.models import StackedCNN, StackedMLP, StackedNetwork
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.schedules import learning_rate
from modeldiff_core.training.settings import Recipe

EVALUATION_PIXELS = 2**24
"""Most pixels, over models and images, that one evaluation launch holds."""


def build_network(recipe: Recipe, image_shape: tuple[int, int, int], n_classes: int) -> StackedNetwork:
    """The architecture that the recipe names, for images of this shape."""
    kinds: dict[str, type[StackedMLP] | type[StackedCNN]] = {"mlp": StackedMLP, "cnn": StackedCNN}
    return kinds[recipe.network.kind](image_shape, recipe.network.widths, n_classes)


def available_device(name: str) -> torch.device:
    """The device of that name; raises ConfigError if this machine lacks it."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError("runner.device", "a torch device such as cpu or cuda:0", name) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError("runner.device", f"one of {torch.cuda.device_count()} CUDA devices or cpu", name)
    return device


@dataclass(frozen=True)
class StackedModels:
    """K trained networks: parameters [models, ...] on one device."""

    network: StackedNetwork
    recipe: Recipe
    parameters: dict[str, Tensor]

    @torch.inference_mode()
    def logits(
        self, images: UInt8[np.ndarray, "targets height width channels"]
    ) -> Float[np.ndarray, "models targets classes"]:
        """float32 logits without augmentation, in slices of images that fit the memory."""
        some = next(iter(self.parameters.values()))
        models, device = len(some), some.device
        step = max(1, EVALUATION_PIXELS // (models * int(np.prod(images.shape[1:]))))
        out = []
        for start in range(0, len(images), step):
            batch = torch.from_numpy(images[start : start + step]).to(device)
            normal = (batch.float() / 255 - self.recipe.mean) / self.recipe.scale
            out.append(self.network.logits(self.parameters, normal.expand(models, *normal.shape)).cpu())
        return torch.cat(out, 1).numpy()

    def weights(self) -> dict[str, Float[np.ndarray, "models ..."]]:
        """The parameters as float32 arrays."""
        return {name: value.cpu().numpy() for name, value in self.parameters.items()}


class StackedSgd(Recipe):
    """The algorithm ``kind: sgd``: a recipe, trained for many subsets at once."""

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        """Build the network and ask each augmentation for its draws: both know what they cannot take."""
        build_network(self, image_shape, n_classes)
        for augmentation in self.augmentations:
            augmentation.n_draws(*image_shape)

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: Bool[np.ndarray, "models train"],
        models: Sequence[int],
        seed: int,
        execution: Execution,
    ) -> StackedModels:
        """Train in launches of at most ``execution.stack`` models; every mask must leave the same number in."""
        sizes = masks.sum(1)
        if len(set(sizes.tolist())) != 1 or not sizes[0]:
            raise ConfigError("masks", "rows that leave the same number of examples in, one or more", sizes.tolist())
        shape = examples.images.shape[1:]
        network = build_network(self, (shape[0], shape[1], shape[2]), n_classes)
        parts = [
            _train_stack(
                self, network, examples, masks[at : at + execution.stack], models[at : at + execution.stack], seed,
                available_device(execution.device),
            )
            for at in range(0, len(models), execution.stack)
        ]  # fmt: skip
        parameters = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return StackedModels(network, self, parameters)

    def load(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: tuple[int, int, int],
        n_classes: int,
        execution: Execution,
    ) -> StackedModels:
        """The networks with stored parameters."""
        device = available_device(execution.device)
        parameters = {name: torch.from_numpy(np.array(value)).to(device) for name, value in weights.items()}
        return StackedModels(build_network(self, image_shape, n_classes), self, parameters)


def _train_stack(
    recipe: Recipe,
    network: StackedNetwork,
    examples: Examples,
    masks: Bool[np.ndarray, "models train"],
    models: Sequence[int],
    seed: int,
    device: torch.device,
) -> dict[str, Tensor]:
    """Parameters [models, ...] after training; all randomness is drawn from (seed, model, epoch)."""
    starts = [network.initial(generator("initialisation", seed, int(model))) for model in models]
    parameters = {
        name: torch.from_numpy(np.stack([start[name] for start in starts])).to(device).requires_grad_()
        for name in starts[0]
    }
    values = list(parameters.values())
    velocities = [torch.zeros_like(value) for value in values]
    images = torch.from_numpy(examples.images).to(device)
    labels = torch.from_numpy(examples.labels).to(device)
    members = np.stack([np.flatnonzero(mask) for mask in masks])
    size = members.shape[1]
    batches = -(-size // recipe.batch_size)
    for epoch in range(recipe.epochs):
        order, draws = _draws(recipe, members, models, seed, epoch, examples.images.shape[1:])
        order_, draws_ = torch.from_numpy(order).to(device), torch.from_numpy(draws).to(device)
        for batch in range(batches):
            span = slice(batch * recipe.batch_size, (batch + 1) * recipe.batch_size)
            index = order_[:, span]
            logits = network.logits(parameters, _inputs(recipe, images[index], draws_[:, span]))
            loss = F.cross_entropy(
                logits.flatten(0, 1), labels[index].flatten(), label_smoothing=recipe.label_smoothing, reduction="sum"
            )
            gradients = torch.autograd.grad(loss / index.shape[1], values)
            rate = learning_rate(
                recipe.schedule, epoch * batches + batch, recipe.epochs * batches, recipe.learning_rate, recipe.peak
            )
            with torch.no_grad():
                torch._foreach_mul_(velocities, recipe.momentum)
                torch._foreach_add_(velocities, gradients)
                torch._foreach_add_(velocities, values, alpha=recipe.weight_decay)
                torch._foreach_add_(values, velocities, alpha=-rate)
    return {name: value.detach() for name, value in parameters.items()}


def _draws(
    recipe: Recipe,
    members: Int[np.ndarray, "models subset"],
    models: Sequence[int],
    seed: int,
    epoch: int,
    shape: tuple[int, ...],
) -> tuple[Int[np.ndarray, "models subset"], Float[np.ndarray, "models subset draws"]]:
    """The order in which each model sees its examples, and the uniform draws of their augmentation."""
    width = sum(augmentation.n_draws(*shape) for augmentation in recipe.augmentations)
    order = np.empty_like(members)
    draws = np.zeros((*members.shape, width), np.float32)
    for row, model in enumerate(models):
        order[row] = generator("order", seed, int(model), epoch).permutation(members[row])
        if width:
            generator("augmentation", seed, int(model), epoch).random(out=draws[row], dtype=np.float32)
    return order, draws


def _inputs(
    recipe: Recipe,
    pixels: UInt8[Tensor, "models batch height width channels"],
    draws: Float[Tensor, "models batch draws"],
) -> Float[Tensor, "models batch height width channels"]:
    """Augmented and normalised network inputs."""
    x = pixels.float().div_(255)
    if recipe.augmentations:
        shape = x.shape
        x, flat, at = x.flatten(0, 1), draws.flatten(0, 1), 0
        for augmentation in recipe.augmentations:
            n = augmentation.n_draws(*shape[2:])
            x = augmentation(x, flat[:, at : at + n])
            at += n
        x = x.reshape(shape)
    return x.sub(recipe.mean).div_(recipe.scale)
