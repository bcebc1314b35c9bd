"""The algorithm ``kind: adversarial``: stochastic gradient descent on images that an attack perturbs at every step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.data import Examples
from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.models import Shape, StackedNetwork, architecture_of
from modeldiff_core.training.attacks import Attack, Within, perturbed
from modeldiff_core.training.batches import rows_at
from modeldiff_core.training.cohort import Cohort
from modeldiff_core.training.descent import Momentum, network_inputs, rate_of
from modeldiff_core.training.devices import available_device
from modeldiff_core.training.normalization import Normalization, check_channels, fixed_normalization, from_subsets
from modeldiff_core.training.operations import draws_per_image, shape_after
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.settings import Recipe
from modeldiff_core.training.trained import NetworkModels, stack_evaluator

PIXELS = (0.0, 1.0)
"""The smallest and the largest pixel, in which epsilon is counted."""


@dataclass(frozen=True)
class Adversarial(Recipe):
    """A recipe whose training images are perturbed by projected gradient ascent on the loss (Madry et al., 2018).

    attack: its epsilon is in units of pixels of 0..1, before they are normalized; perturbed pixels stay in 0..1.
    Networks are those with a stack (mlp, cnn, lenet), from random weights, all layers trained, in float32. Everything
    else is as in ``kind: sgd``.
    """

    attack: Attack = field(default_factory=Attack)

    def __post_init__(self) -> None:
        super().__post_init__()
        require, network = Check("recipe"), self.network
        stacked = architecture_of(network.kind).stack is not None
        require(stacked, "network.kind", "an architecture with a stack (mlp, cnn, lenet)", network.kind)
        require(network.init == "random", "network.init", "random", network.init)
        require(network.trainable == "all", "network.trainable", "all", network.trainable)
        require(self.precision == "float32", "precision", "float32", self.precision)
        require(not from_subsets(self), "mean", "constants that are no statistics of subsets", [self.mean, self.scale])

    def check(self, image_shape: Shape, n_classes: int) -> None:
        """Raise ConfigError for images that the augmentations, constants or network do not accept."""
        draws_per_image(self.augmentations, image_shape)
        check_channels(self, image_shape[2])
        self._stack(image_shape, n_classes)

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: Bool[np.ndarray, "models train"],
        models: Sequence[int],
        seed: int,
        execution: Execution,
    ) -> NetworkModels:
        """Train in launches of at most ``execution.stack`` models, as ``Algorithm.train`` describes.

        Raises:
            ConfigError: If the masks leave different numbers of examples in, or none.

        """
        sizes = masks.sum(1)
        if len(set(sizes.tolist())) != 1 or not sizes[0]:
            raise ConfigError("masks", "rows that leave the same number of examples in, one or more", sizes.tolist())
        device = available_device(execution.device)
        labels, height, width = torch.from_numpy(examples.labels).to(device), *examples.images.shape[1:3]
        cohort = Cohort(labels, masks, models, seed, (height, width, examples.images.shape[3]))
        images, stack = torch.from_numpy(examples.images).to(device), self._stack(cohort.image_shape, n_classes)
        constants, parts = fixed_normalization(self, device), []
        for at in range(0, len(cohort), execution.stack):
            parts.append(_trained(self, stack, images, constants, cohort.rows(slice(at, at + execution.stack))))
        state = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return NetworkModels(self, stack_evaluator(stack), state, constants)

    def load(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: Shape,
        n_classes: int,
        execution: Execution,
    ) -> NetworkModels:
        """Return the networks with stored weights."""
        device = available_device(execution.device)
        state = {name: torch.from_numpy(np.array(value)).to(device) for name, value in weights.items()}
        evaluator = stack_evaluator(self._stack(image_shape, n_classes))
        return NetworkModels(self, evaluator, state, fixed_normalization(self, device))

    def _stack(self, image_shape: Shape, n_classes: int) -> StackedNetwork:
        make = architecture_of(self.network.kind).stack
        assert make is not None
        return make(shape_after(self.augmentations, image_shape), self.network.sizes, n_classes)


def _trained(
    recipe: Adversarial, stack: StackedNetwork, images: Tensor, constants: Normalization, cohort: Cohort
) -> dict[str, Tensor]:
    """Train one launch; randomness is that of the recipe without an attack, so that pairs of algorithms share it."""
    starts = [stack.initial(generator("initialisation", cohort.seed, int(model))) for model in cohort.models]
    state = {n: torch.from_numpy(np.stack([one[n] for one in starts])).to(cohort.device) for n in starts[0]}
    values = [value.requires_grad_() for value in state.values()]
    descent, batches, plain = Momentum(recipe, values), cohort.batches(recipe), Normalization(*_identity(cohort.device))
    for epoch in range(recipe.epochs):
        order, draws = (torch.from_numpy(found).to(cohort.device) for found in cohort.draws(recipe, epoch))
        for batch in range(batches):
            span = slice(batch * recipe.batch_size, (batch + 1) * recipe.batch_size)
            index = order[:, span]
            # Augmented pixels in 0..1: the attack moves these, and the constants come after it.
            pixels = network_inputs(recipe, plain, rows_at(images, index).float(), draws[:, span])
            targets = cohort.labels[index].flatten()
            fixed = {name: value.detach() for name, value in state.items()}

            def raised(x: Tensor, fixed: dict[str, Tensor] = fixed, targets: Tensor = targets) -> Tensor:
                return F.cross_entropy(stack.logits(fixed, constants(x)).flatten(0, 1), targets, reduction="sum")

            start = _draws(recipe, cohort, (epoch, batch), pixels)
            moved = perturbed(raised, pixels, recipe.attack, Within(PIXELS), start)
            logits = stack.logits(state, constants(moved)).flatten(0, 1)
            loss = F.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing, reduction="sum")
            gradients = torch.autograd.grad(loss / index.shape[1], values)
            descent.step(gradients, rate_of(recipe, epoch * batches + batch, batches))
    return {name: value.detach() for name, value in state.items()}


def _identity(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the constants that leave pixels as they are."""
    return torch.zeros(1, 1, device=device), torch.ones(1, 1, device=device)


def _draws(recipe: Adversarial, cohort: Cohort, step: tuple[int, int], pixels: Tensor) -> Tensor | None:
    """Return what a random start is drawn from, None for an attack that begins at the images."""
    if not recipe.attack.random_start:
        return None
    shape = tuple(pixels.shape[1:])
    rows = [generator("attack", cohort.seed, int(m), *step).random(shape, np.float32) for m in cohort.models]
    return torch.from_numpy(np.stack(rows)).to(cohort.device)
