"""AdamW whose steps do not depend on the scale of gradients, and the schedule of the learning rate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class ScaleFreeAdam:
    """AdamW without ε, whose decay is not multiplied by the learning rate (Zhuang et al. 2022, arXiv 2202.00089).

    m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; w ← w − s (η m̂ / √v̂ + λ w), with m̂ and v̂ corrected for their start,
    the share s in 0..1 that a schedule gives, and 0 / 0 = 0. Multiplying a gradient by a constant changes nothing.

    Attributes:
        parameters: What is trained, all on one device.
        rate: η.
        betas: β₁, β₂.
        decay: λ.
        first: m of all parameters, one vector.
        second: v.
        steps: Steps taken.

    """

    parameters: Sequence[Tensor]
    rate: float
    betas: tuple[float, float]
    decay: float
    first: Tensor
    second: Tensor
    steps: int = 0

    @classmethod
    def of(cls, parameters: Sequence[Tensor], rate: float, betas: tuple[float, float], decay: float) -> "ScaleFreeAdam":
        """Return an optimizer that has taken no step."""
        size, like = sum(one.numel() for one in parameters), parameters[0]
        first, second = (torch.zeros(size, dtype=like.dtype, device=like.device) for _ in range(2))
        return cls(parameters, rate, betas, decay, first, second)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], share: float) -> None:
        """Take a step. share: s, of the learning rate and of the decay."""
        gradient = torch.cat([one.reshape(-1) for one in gradients]).to(self.first.dtype)
        one, two = self.betas
        self.steps += 1
        self.first.mul_(one).add_(gradient, alpha=1 - one)
        self.second.mul_(two).addcmul_(gradient, gradient, value=1 - two)
        scale = math.sqrt(1 - two**self.steps) / (1 - one**self.steps)
        moves = self.first / self.second.sqrt().clamp_min_(torch.finfo(self.second.dtype).tiny)
        moves.mul_(scale * self.rate * share)
        for weight, move in zip(self.parameters, moves.split([one.numel() for one in self.parameters]), strict=True):
            weight.mul_(1 - share * self.decay).sub_(move.view_as(weight))


def cosine_share(step: int, steps: int, warm_up: float, final: float) -> float:
    """Return the share of the peak learning rate at step 0 ≤ step < steps.

    Rises linearly over the first warm_up · steps, (step + 1) / rise, then falls as half a cosine to `final`.
    """
    rise = max(1, round(warm_up * steps))
    if step < rise:
        return (step + 1) / rise
    along = (step + 1 - rise) / max(1, steps - rise)
    return final + (1 - final) * (1 + math.cos(math.pi * along)) / 2
