"""Steps of torch's optimizers as pure functions that can be differentiated: SGD, Adam and AdamW.

They have the formulas and numbers of ``torch.optim``, whose own steps overwrite parameters in place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.errors import ConfigError
from modeldiff_core.metagradients.process import State
from modeldiff_core.training.modules import TorchRecipe

SGD, ADAM = "SGD", ("Adam", "AdamW")
CLIP_ROOM = 1e-6
"""What torch adds to a norm before it divides by it."""


@dataclass(frozen=True)
class Rule:
    """The step of one optimizer with its settings at every step.

    Attributes:
        optimizer: SGD, Adam or AdamW.
        settings: The optimizer's settings at each step, learning rate and all, as a schedule leaves them.
        clip: Largest norm of the gradient; 0 for no limit.

    """

    optimizer: str
    settings: tuple[Mapping[str, Any], ...]
    clip: float = 0.0

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of what is kept of each parameter from one step to the next."""
        if self.optimizer == SGD:
            return ("velocity",) if any(one["momentum"] for one in self.settings) else ()
        return "mean", "square"

    def step(
        self, values: State, kept: Mapping[str, State], gradients: State, number: int
    ) -> tuple[State, dict[str, State]]:
        """Return parameters and what is kept of them after step `number`."""
        given = self.settings[number]
        if self.clip:
            gradients = clipped(gradients, self.clip)
        if given["maximize"]:
            gradients = {name: -value for name, value in gradients.items()}
        if self.optimizer == SGD:
            return self._sgd(values, kept, gradients, number)
        return self._adam(values, kept, gradients, number)

    def _sgd(
        self, values: State, kept: Mapping[str, State], gradients: State, number: int
    ) -> tuple[State, dict[str, State]]:
        """Return the state after a step of descent with momentum.

        g ← g + decay·θ,    v ← μ·v + (1 − dampening)·g, at first v ← g,    θ ← θ − η·v, of Nesterov θ − η·(g + μ·v).
        """
        given = self.settings[number]
        mu, rate, decay = given["momentum"], given["lr"], given["weight_decay"]
        moved = {name: gradients[name] + decay * value for name, value in values.items()}
        if not mu:
            return {name: value - rate * moved[name] for name, value in values.items()}, dict(kept)
        first = not any(one["momentum"] for one in self.settings[:number])
        share = 1.0 if first else 1 - given["dampening"]
        velocities = {name: mu * kept["velocity"][name] + share * moved[name] for name in values}
        moved = {name: moved[name] + mu * velocities[name] for name in values} if given["nesterov"] else velocities
        return {name: value - rate * moved[name] for name, value in values.items()}, {"velocity": velocities}

    def _adam(
        self, values: State, kept: Mapping[str, State], gradients: State, number: int
    ) -> tuple[State, dict[str, State]]:
        """Return the state after a step of Adam.

        m ← β₁m + (1 − β₁)g,    v ← β₂v + (1 − β₂)g²,    θ ← θ − η·m̂/(√v̂ + ε),    m̂ = m/(1 − β₁ᵗ),    v̂ = v/(1 − β₂ᵗ).
        AdamW first takes η·decay·θ from θ, Adam adds decay·θ to g.
        """
        given = self.settings[number]
        (one, two), rate, decay = given["betas"], given["lr"], given["weight_decay"]
        if given["decoupled_weight_decay"]:
            values = {name: value * (1 - rate * decay) for name, value in values.items()}
        elif decay:
            gradients = {name: gradients[name] + decay * value for name, value in values.items()}
        means = {name: one * kept["mean"][name] + (1 - one) * gradients[name] for name in values}
        squares = {name: two * kept["square"][name] + (1 - two) * gradients[name].square() for name in values}
        correction, root = 1 - one ** (number + 1), (1 - two ** (number + 1)) ** 0.5
        after = {
            name: value - (rate / correction) * means[name] / (square_root(squares[name]) / root + given["eps"])
            for name, value in values.items()
        }
        return after, {"mean": means, "square": squares}


def square_root(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return √x, with the derivative 0 at x = 0.

    √ has none there, where all of a parameter's gradients were 0 so far. Adam's step has: with m = v = 0,
    d[m/(√v + ε)] = dm/ε − m·d√v/ε² = dm/ε, since m = 0 and √v = |g|·const is no steeper than g.
    """
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1).sqrt(), 0)


def clipped(gradients: State, most: float) -> State:
    """Return gradients scaled to a norm of at most `most` over all of them, as ``torch.nn.utils.clip_grad_norm_``."""
    norm = square_root(torch.stack([value.square().sum() for value in gradients.values()]).sum())
    share = (most / (norm + CLIP_ROOM)).clamp(max=1.0)
    return {name: share * value for name, value in gradients.items()}


def check_optimizer(recipe: TorchRecipe) -> None:
    """Raise ConfigError for an optimizer or a schedule whose steps cannot be differentiated."""
    if recipe.optimizer != SGD and recipe.optimizer not in ADAM:
        expected = f"{SGD}, {' or '.join(ADAM)}, whose step metagradients know"
        raise ConfigError("recipe.optimizer", expected, recipe.optimizer)
    if recipe.optimizer_arguments.get("amsgrad"):
        expected = "no amsgrad, whose largest second moment has no derivative"
        raise ConfigError("recipe.optimizer_arguments", expected, dict(recipe.optimizer_arguments))
    if recipe.scheduler == "ReduceLROnPlateau":
        expected = "a schedule that needs nothing but the number of the step"
        raise ConfigError("recipe.scheduler", expected, recipe.scheduler)


def rule_of(recipe: TorchRecipe, batches: int) -> Rule:
    """Return the step of a recipe with so many batches in an epoch; raises ConfigError."""
    check_optimizer(recipe)
    return Rule(recipe.optimizer, tuple(recipe.scheduled(batches)), recipe.clip)
