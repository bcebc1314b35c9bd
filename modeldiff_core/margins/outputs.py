"""Scalar outputs of a model on one example."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from modeldiff_core.registry import Registry

Output = Callable[[Tensor, Tensor], Tensor]
"""Float32 logits [..., targets, classes] and labels [targets] to one number a target [..., targets]."""


def correct_class_margin(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    """Correct-class logit minus the largest other logit, z_y − max_{j≠y} z_j, in float32 logits (ModelDiff, sec. 3)."""
    correct, others = _split(logits, labels)
    return correct - others.amax(-1)


def log_odds(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    """Log odds of the correct class, log p_y/(1 − p_y) = z_y − log Σ_{j≠y} exp z_j, in float32 (TRAK, sec. 3)."""
    correct, others = _split(logits, labels)
    return correct - others.logsumexp(-1)


def class_probability(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    """Probability of the correct class, exp z_y / Σ_j exp z_j, in 0..1; saturates where models are sure."""
    return torch.sigmoid(log_odds(logits, labels))


OUTPUTS: Registry[Output] = Registry(
    "modeldiff.outputs",
    "output",
    {"margin": correct_class_margin, "log_odds": log_odds, "class_probability": class_probability},
)


def _split(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> tuple[Float[Tensor, "*models targets"], Float[Tensor, "*models targets classes"]]:
    """The correct class's logit, and all logits with that one at −∞."""
    index = labels.expand(logits.shape[:-1]).unsqueeze(-1)
    return logits.gather(-1, index).squeeze(-1), logits.scatter(-1, index, float("-inf"))
