"""Perturbations of inputs that raise a loss: projected gradient ascent, one for each example or one for all."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.errors import Check
from modeldiff_core.limits import Limit, check_limits

Batch = Float[Tensor, "models batch height width channels"]
Loss = Callable[[Tensor], Tensor]
"""Maps inputs to the sum of the losses of all models on all examples, whose gradients do not mix."""
Box = tuple[float, float] | None
"""The smallest and the largest value of an input; None where there is none."""
SMALLEST = 1e-12
"""Smallest norm that is divided by."""


@dataclass(frozen=True)
class Attack:
    """Projected gradient ascent (Madry et al., 2018) on the cross-entropy.

    x ← P(x + step · epsilon · d), d the sign of the gradient (linf) or the gradient over its l2 norm (l2); P the
    projection on the ball of radius epsilon around the input, then on the inputs that there are.
    epsilon: in units of the inputs. steps, step: of the ascent, each in units of epsilon; one step of 1 is FGSM.
    random_start: whether it starts from a random point of the ball (uniform in the cube for linf; for l2 a uniform
    direction and length).
    """

    norm: Literal["l2", "linf"] = "linf"
    epsilon: Annotated[float, Limit(above=0)] = 0.1
    steps: Annotated[int, Limit(least=1)] = 10
    step: Annotated[float, Limit(above=0)] = 0.25
    random_start: bool = False

    def __post_init__(self) -> None:
        check_limits(self, Check("attack"))

    def at(self, step: int, steps: int) -> "Attack":
        """Return the attack at one of so many steps of training: at each the same."""
        return self

    def projected(self, moved: Tensor) -> Tensor:
        """Return perturbations within the ball of radius epsilon, of each example by itself."""
        if self.norm == "linf":
            return moved.clamp(-self.epsilon, self.epsilon)
        scale: Tensor = (self.epsilon / _norms(moved)).clamp(max=1)
        return moved * scale

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the steepest direction of unit norm."""
        return gradient.sign() if self.norm == "linf" else gradient / _norms(gradient)

    def start(self, draws: Float[Tensor, "models batch height width channels"]) -> Tensor:
        """Return a point of the ball from uniform draws in [0, 1) of the shape of the inputs."""
        if self.norm == "linf":
            return (2 * draws - 1) * self.epsilon
        normal: Tensor = torch.special.ndtri(draws.clamp(1e-6, 1 - 1e-6))
        length = draws.flatten(2)[:, :, :1, None, None]
        return normal / _norms(normal) * length * self.epsilon


@dataclass(frozen=True)
class RisingAttack(Attack):
    """An attack whose epsilon rises while networks are trained against it, linearly from 0.

    rise: Share of the steps of training after which epsilon is whole. Networks that are trained against a large epsilon
    from the first step may stay at chance: attacks move every example across a boundary that has just begun to form.
    """

    rise: Annotated[float, Limit(above=0, most=1, what="a share")] = 0.5

    def at(self, step: int, steps: int) -> Attack:
        """Return the attack at one of so many steps, of epsilon·min(1, (step + 1)/(rise·steps))."""
        settings = {field.name: getattr(self, field.name) for field in fields(Attack)}
        return Attack(**settings | {"epsilon": self.epsilon * min(1.0, (step + 1) / (self.rise * steps))})


@dataclass(frozen=True)
class Within:
    """Which perturbations are allowed: inputs stay in the box; `free` removes what may not be changed, if given."""

    box: Box = None
    free: Callable[[Tensor], Tensor] | None = None

    def applied(self, inputs: Tensor, moved: Tensor) -> Tensor:
        """Return the perturbed inputs."""
        found = inputs + moved
        return found if self.box is None else found.clamp(*self.box)

    def allowed(self, moved: Tensor) -> Tensor:
        """Return what is left of a perturbation or of a gradient."""
        return moved if self.free is None else self.free(moved)


def _norms(values: Tensor) -> Tensor:
    """Return the l2 norm of each example's values, [models, batch, 1, 1, 1]."""
    found: Tensor = values.flatten(2).norm(dim=2).clamp(min=SMALLEST)
    return found[:, :, None, None, None]


def gradient_of(loss: Loss, inputs: Tensor) -> Tensor:
    """Return the gradient of a loss with respect to the inputs."""
    with torch.enable_grad():
        at = inputs.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(at), at)
    return gradient


def perturbed(loss: Loss, inputs: Batch, attack: Attack, within: Within, draws: Tensor | None = None) -> Batch:
    """Return inputs that raise the loss, each moved by at most epsilon.

    Args:
        loss: The sum of losses.
        inputs: Where the ascent begins.
        attack: Its settings.
        within: Which perturbations are allowed.
        draws: Uniform in [0, 1), of the inputs' shape, for a random start; none begins at the inputs.

    """
    x = inputs
    if draws is not None:
        x = within.applied(inputs, within.allowed(attack.start(draws)))
    for _ in range(attack.steps):
        moved = x + attack.step * attack.epsilon * attack.direction(within.allowed(gradient_of(loss, x))) - inputs
        x = within.applied(inputs, attack.projected(within.allowed(moved)))
    return x.detach()


def universal(
    loss: Loss, inputs: Batch, attack: Attack, within: Within
) -> Float[Tensor, "models 1 height width channels"]:
    """Return one perturbation for all examples of each model, by ascent on the sum of their losses.

    Each model's perturbation has the attack's norm at most; the box is kept when it is applied.
    """
    moved = torch.zeros_like(inputs[:, :1])

    def shifted(at: Tensor) -> Tensor:
        return loss(within.applied(inputs, at.expand_as(inputs)))

    for _ in range(attack.steps):
        gradient = within.allowed(gradient_of(shifted, moved))
        moved = attack.projected(within.allowed(moved + attack.step * attack.epsilon * attack.direction(gradient)))
    return moved.detach()
