"""Scalar outputs of a model on one example."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from modeldiff_core.registry import Registry

Output = Callable[[Tensor, Tensor], Tensor]
"""Maps float32 logits [..., targets, classes] and labels [targets] to one number per target [..., targets]."""


def correct_class_margin(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    """Return correct-class logit minus largest other logit, z_y − max_{j≠y} z_j, in float32 (ModelDiff, sec. 3)."""
    correct, others = _split(logits, labels)
    return correct - others.amax(-1)


def log_odds(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    """Return log odds of the correct class, log p_y/(1 − p_y) = z_y − log Σ_{j≠y} exp z_j, float32 (TRAK, sec. 3)."""
    correct, others = _split(logits, labels)
    return correct - others.logsumexp(-1)


def class_probability(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    """Return the probability of the correct class, exp z_y / Σ_j exp z_j, in 0..1; it saturates for sure models."""
    return torch.sigmoid(log_odds(logits, labels))


OUTPUTS: Registry[Output] = Registry(
    "modeldiff.outputs",
    "output",
    {"margin": correct_class_margin, "log_odds": log_odds, "class_probability": class_probability},
)


def _split(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> tuple[Float[Tensor, "*models targets"], Float[Tensor, "*models targets classes"]]:
    """Return the correct class's logit, and all logits with that one replaced by −∞."""
    index = labels.expand(logits.shape[:-1]).unsqueeze(-1)
    return logits.gather(-1, index).squeeze(-1), logits.scatter(-1, index, float("-inf"))
