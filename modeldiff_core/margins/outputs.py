"""Scalar outputs of a model on one example."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int, Real
from torch import Tensor

from modeldiff_core.registry import Registry

Function = Callable[[Tensor, Tensor], Tensor]
"""Float32 logits [..., targets, classes] and labels [targets] to float32 [..., *axes]."""


@dataclass(frozen=True)
class Output:
    """What is recorded of a model for each target.

    Attributes:
        function: From logits and labels to the output.
        axes: Its axes; one number a target can be regressed on masks.
        needs: What of the targets it looks at: labels, or nothing.
        right_above: The value above which the prediction is right; None for an output that does not tell.
        of: Whether models predict classes, or a number.
    """

    function: Function
    axes: tuple[str, ...] = ("targets",)
    needs: tuple[str, ...] = ("labels",)
    right_above: float | None = None
    of: Literal["classes", "number"] = "classes"

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the output of these logits."""
        return self.function(logits, labels)


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


def loss(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    """Return the cross-entropy −log p_y, in nats, in float32."""
    return torch.nn.functional.softplus(-log_odds(logits, labels))


def accuracy(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    """Return 1 where the correct class has the largest logit and 0 elsewhere; a tie counts as wrong."""
    return (correct_class_margin(logits, labels) > 0).float()


def all_logits(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> Float[Tensor, "*models targets classes"]:
    """Return the logits themselves."""
    return logits


def prediction_error(
    logits: Float[Tensor, "*models targets one"], labels: Real[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    """Return prediction minus truth, f − y, in standard deviations of the training targets, in float32."""
    return logits[..., 0] - labels.to(logits.dtype)


def negative_squared_error(
    logits: Float[Tensor, "*models targets one"], labels: Real[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    """Return −(f − y)², in variances of the training targets, in float32: larger is better, as a margin is."""
    return -prediction_error(logits, labels).square()


OUTPUTS: Registry[Output] = Registry(
    "modeldiff.outputs",
    "output",
    {
        "accuracy": Output(accuracy, right_above=0.5),
        "class_probability": Output(class_probability),
        "log_odds": Output(log_odds),
        "logits": Output(all_logits, axes=("targets", "classes"), needs=()),
        "loss": Output(loss),
        "margin": Output(correct_class_margin, right_above=0.0),
        "negative_squared_error": Output(negative_squared_error, of="number"),
        "prediction_error": Output(prediction_error, of="number"),
    },
)
"""Outputs by the name that ``output`` gives; others register under the entry-point group ``modeldiff.outputs``."""


def _split(
    logits: Float[Tensor, "*models targets classes"], labels: Int[Tensor, " targets"]
) -> tuple[Float[Tensor, "*models targets"], Float[Tensor, "*models targets classes"]]:
    """Return the correct class's logit, and all logits with that one replaced by −∞."""
    index = labels.expand(logits.shape[:-1]).unsqueeze(-1)
    return logits.gather(-1, index).squeeze(-1), logits.scatter(-1, index, float("-inf"))
