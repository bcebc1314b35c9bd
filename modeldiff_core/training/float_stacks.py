"""Stacks of small networks trained on inputs of floats, from which training can go on at any step with the same bits.

The trainers of recipes take images of bytes and subsets of one training set. Here every network of a stack has inputs
of its own, which may be no images, and may be attacked while it trains.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.errors import Check
from modeldiff_core.identity import generator
from modeldiff_core.limits import Limit, check_limits
from modeldiff_core.models import Shape, StackedNetwork, architecture_of
from modeldiff_core.models.stacks import StackedMLP
from modeldiff_core.training.attacks import Attack, Box, RisingAttack, Within, perturbed

State = dict[str, np.ndarray]
"""Parameters and what the optimizer remembers, by name."""
Save = Callable[[int, State], None]
BETAS, TINY = (0.9, 0.999), 1e-8
"""Adam's constants."""
BLOCK = 1000
"""Examples that are evaluated together."""


@dataclass(frozen=True)
class FloatRecipe:
    """How networks are trained on floats.

    kind, widths: of the network, mlp, cnn or lenet. steps: of batches of batch_size, drawn without replacement in each
    pass over the examples. optimizer: 'sgd' (heavy ball with `momentum`) or 'adam'; weight_decay is added to the
    gradient. dropout: share of the hidden units of an mlp that a step leaves out. attack: inputs are perturbed by it at
    every step (adversarial training), by a rising one with the epsilon of that step; none if not given.
    """

    kind: str = "mlp"
    widths: tuple[int, ...] = (100, 100)
    steps: Annotated[int, Limit(least=1)] = 1000
    batch_size: Annotated[int, Limit(least=1)] = 256
    learning_rate: Annotated[float, Limit(above=0)] = 0.1
    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: Annotated[float, Limit(least=0, below=1, what="a number")] = 0.0
    weight_decay: Annotated[float, Limit(least=0)] = 0.0
    dropout: Annotated[float, Limit(least=0, below=1, what="a share")] = 0.0
    attack: Attack | RisingAttack | None = None

    def __post_init__(self) -> None:
        require = Check("recipe")
        check_limits(self, require)
        architecture_of(self.kind).checked_widths(self.widths or None, self.kind)
        require(architecture_of(self.kind).stack is not None, "kind", "an architecture with a stack", self.kind)
        require(not self.dropout or self.kind == "mlp", "dropout", "0 for networks that are no mlp", self.dropout)

    def stack(self, shape: Shape, classes: int) -> StackedNetwork:
        """Return the networks for inputs of a shape."""
        make = architecture_of(self.kind).stack
        assert make is not None
        return make(shape, architecture_of(self.kind).checked_widths(self.widths or None, self.kind) or (), classes)


@dataclass(frozen=True)
class FloatData:
    """Examples of one network: inputs, labels, and the box that inputs stay in when they are attacked."""

    inputs: Float[np.ndarray, "examples height width channels"]
    labels: Int[np.ndarray, " examples"]
    classes: int
    box: Box = None

    @property
    def shape(self) -> Shape:
        """Height, width and channels."""
        height, width, channels = self.inputs.shape[1:]
        return height, width, channels


def train_floats(
    recipe: FloatRecipe,
    data: Sequence[FloatData],
    seeds: Sequence[int],
    begun: tuple[int, Mapping[str, np.ndarray]] = (0, {}),
    save: tuple[int, Save] | None = None,
) -> dict[str, Float[np.ndarray, "models ..."]]:
    """Return the parameters [models, ...] of networks that are trained together; each depends on its own row alone.

    Args:
        recipe: How they are trained.
        data: The examples of each network; objects that are the same one are kept once.
        seeds: Of each network's initial weights, order of examples and other draws.
        begun: Steps already taken, and the state after them; from the start if not given.
        save: Every so many steps the state is handed to this function.

    """
    trainer = _Trainer(recipe, data, seeds)
    first, state = begun
    if state:
        trainer.restore(state)
    for step in range(first, recipe.steps):
        if save is not None and step > first and step % save[0] == 0:
            save[1](step, trainer.state())
        trainer.step(step)
    return {name: value.detach().numpy() for name, value in trainer.parameters.items()}


class _Trainer:
    """Networks in the middle of their training."""

    def __init__(self, recipe: FloatRecipe, data: Sequence[FloatData], seeds: Sequence[int]) -> None:
        self.recipe, self.data, self.seeds = recipe, data, [int(seed) for seed in seeds]
        self.stack = recipe.stack(data[0].shape, data[0].classes)
        starts = [self.stack.initial(generator("initialisation", seed)) for seed in self.seeds]
        self.parameters = {name: torch.from_numpy(np.stack([one[name] for one in starts])) for name in starts[0]}
        kept: dict[int, tuple[Tensor, Tensor]] = {}
        for one in data:
            kept.setdefault(id(one), (torch.from_numpy(one.inputs), torch.from_numpy(one.labels)))
        self.tensors = [kept[id(one)] for one in data]
        kinds = ("first",) if recipe.optimizer == "sgd" else ("first", "second")
        self.memory = {kind: {n: torch.zeros_like(v) for n, v in self.parameters.items()} for kind in kinds}
        self.epoch, self.orders = -1, list[np.ndarray]()

    def state(self) -> State:
        """Return all that decides the next steps."""
        found = {f"parameter {name}": value.detach().numpy().copy() for name, value in self.parameters.items()}
        for kind, values in self.memory.items():
            found |= {f"{kind} {name}": value.numpy().copy() for name, value in values.items()}
        return found

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take up a state."""
        own = {"parameter": self.parameters, **self.memory}
        for key, value in state.items():
            kind, _, name = key.partition(" ")
            own[kind][name] = torch.from_numpy(np.array(value))

    def step(self, step: int) -> None:
        """Take one step of all networks."""
        inputs, labels = self.batch(step)
        recipe, values = self.recipe, list(self.parameters.values())
        if recipe.attack is not None:
            inputs = self.attacked(inputs, labels, step)
        for value in values:
            value.requires_grad_()
        logits = self.logits(inputs, step)
        # Networks share no parameter, so the sum of their losses has the gradients of each one's mean loss.
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / labels.shape[1]
        gradients = torch.autograd.grad(loss, values)
        self.update(step, dict(zip(self.parameters, gradients, strict=True)))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the inputs and labels of a step, whose order is a pure function of (seed, pass)."""
        size = self.recipe.batch_size
        examples = min(len(one.labels) for one in self.data)
        batches = max(1, examples // size)
        epoch, at = divmod(step, batches)
        if epoch != self.epoch:
            self.orders = [
                generator("order", seed, epoch).permutation(len(one.labels))
                for seed, one in zip(self.seeds, self.data, strict=True)
            ]
            self.epoch = epoch
        rows = [torch.from_numpy(order[at * size : (at + 1) * size]) for order in self.orders]
        taken = [(x[row], y[row]) for (x, y), row in zip(self.tensors, rows, strict=True)]
        return torch.stack([x for x, _ in taken]), torch.stack([y for _, y in taken])

    def attacked(self, inputs: Tensor, labels: Tensor, step: int) -> Tensor:
        """Return the inputs of a step as the recipe's attack perturbs them."""
        assert self.recipe.attack is not None
        attack = self.recipe.attack.at(step, self.recipe.steps)
        fixed = {name: value.detach() for name, value in self.parameters.items()}
        draws = None
        if attack.random_start:
            rows = [generator("attack", seed, step).random(inputs.shape[1:], np.float32) for seed in self.seeds]
            draws = torch.from_numpy(np.stack(rows))

        def loss(x: Tensor) -> Tensor:
            return F.cross_entropy(self.stack.logits(fixed, x).flatten(0, 1), labels.flatten(), reduction="sum")

        return perturbed(loss, inputs, attack, Within(self.data[0].box), draws)

    def logits(self, inputs: Tensor, step: int) -> Tensor:
        """Return logits in training, with the recipe's dropout."""
        if not self.recipe.dropout:
            return self.stack.logits(self.parameters, inputs)
        assert isinstance(self.stack, StackedMLP)
        x, last, kept = inputs.flatten(2), len(self.stack.sizes) - 2, 1 - self.recipe.dropout
        for i in range(last + 1):
            x = torch.baddbmm(self.parameters[f"{i}.bias"], x, self.parameters[f"{i}.weight"])
            if i < last:
                rows = [generator("dropout", seed, step, i).random(x.shape[1:], np.float32) for seed in self.seeds]
                x = x.relu() * (torch.from_numpy(np.stack(rows)) < kept) / kept
        return x

    @torch.no_grad()
    def update(self, step: int, gradients: dict[str, Tensor]) -> None:
        """Change all parameters once."""
        recipe, moved = self.recipe, dict[str, Tensor]()
        for name, gradient in gradients.items():
            g, value = gradient + recipe.weight_decay * self.parameters[name], self.parameters[name]
            first = self.memory["first"]
            if recipe.optimizer == "sgd":
                first[name] = recipe.momentum * first[name] + g
                moved[name] = value - recipe.learning_rate * first[name]
                continue
            second, (fast, slow) = self.memory["second"], BETAS
            first[name] = fast * first[name] + (1 - fast) * g
            second[name] = slow * second[name] + (1 - slow) * g * g
            size = (second[name] / (1 - slow ** (step + 1))).sqrt() + TINY
            moved[name] = value - recipe.learning_rate * first[name] / (1 - fast ** (step + 1)) / size
        self.parameters = {name: value.detach() for name, value in moved.items()}


def float_logits(
    stack: StackedNetwork, parameters: Mapping[str, Float[np.ndarray, "models ..."]], inputs: Sequence[np.ndarray]
) -> Float[np.ndarray, "models examples classes"]:
    """Return the logits of each network on its own inputs, one array for all or one a network."""
    weights, found = {name: torch.from_numpy(np.array(value)) for name, value in parameters.items()}, []
    models = len(next(iter(weights.values())))
    own = list(inputs) if len(inputs) == models else [inputs[0]] * models
    with torch.inference_mode():
        for at in range(0, len(own[0]), BLOCK):
            x = torch.from_numpy(np.stack([one[at : at + BLOCK] for one in own]))
            found.append(stack.logits(weights, x))
    return torch.cat(found, 1).numpy()
