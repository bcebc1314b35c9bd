"""Scalar outputs of a model on one example."""

from jaxtyping import Float, Int
from torch import Tensor


def correct_class_margin(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    """Correct-class logit minus the largest other logit, z_y − max_{j≠y} z_j, in float32 logits (ModelDiff, sec. 3)."""
    index = labels.expand(logits.shape[:-1]).unsqueeze(-1)
    correct = logits.gather(-1, index).squeeze(-1)
    others = logits.scatter(-1, index, float("-inf")).amax(-1)
    return correct - others
