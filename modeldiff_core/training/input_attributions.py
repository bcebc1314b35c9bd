"""Attributions of a network's outputs to the values of its input, by gradients; a larger score ranks higher."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.identity import generator
from modeldiff_core.registry import Registry
from modeldiff_core.training.captum_attributions import CAPTUM, check_installed
from modeldiff_core.training.explained import PATH_STEPS, SMOOTH_DRAWS, SMOOTH_NOISE, Explained

Method = Callable[[Explained], Tensor]
"""Gives scores [examples, height, width, channels]."""


def gradient(value: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Return the gradient of a sum over examples."""
    with torch.enable_grad():
        at = inputs.detach().requires_grad_()
        (found,) = torch.autograd.grad(value(at), at)
    return found


def _logit(explained: Explained, classes: Tensor, at: Tensor | None = None) -> Tensor:
    """Return ∂ logit of each example's class / ∂ input."""
    rows = classes[:, None]
    x = explained.inputs if at is None else at
    return gradient(lambda x: explained.logits(x).gather(1, rows).sum(), x)


def loss(explained: Explained) -> Tensor:
    """Return |∂ cross-entropy of the label / ∂ input|."""

    def value(x: Tensor) -> Tensor:
        return F.cross_entropy(explained.logits(x), explained.labels, reduction="sum")

    return gradient(value, explained.inputs).abs()


def logit(explained: Explained) -> Tensor:
    """Return |∂ logit of the predicted class / ∂ input|."""
    return _logit(explained, explained.predicted()).abs()


def random_logit(explained: Explained) -> Tensor:
    """Return |∂ logit of a random class / ∂ input|."""
    with torch.no_grad():
        classes = explained.logits(explained.inputs[:1]).shape[1]
    drawn = generator("random logit", *explained.seed).integers(0, classes, len(explained.inputs))
    return _logit(explained, torch.from_numpy(drawn)).abs()


def all_logits(explained: Explained) -> Tensor:
    """Return the l2 norm over classes of ∂ logits / ∂ input."""
    with torch.no_grad():
        classes = explained.logits(explained.inputs[:1]).shape[1]
    whole = torch.zeros_like(explained.inputs)
    for number in range(classes):
        whole += _logit(explained, torch.full_like(explained.labels, number)).square()
    return whole.sqrt()


def gradient_times_input(explained: Explained) -> Tensor:
    """Return |input · ∂ logit of the predicted class / ∂ input|."""
    return (_logit(explained, explained.predicted()) * explained.inputs).abs()


def smooth_gradient(explained: Explained) -> Tensor:
    """Return |mean gradient of the predicted class's logit over noisy copies| (SmoothGrad, arXiv 1706.03825)."""
    classes, span = explained.predicted(), float(explained.inputs.max() - explained.inputs.min())
    whole = torch.zeros_like(explained.inputs)
    for number in range(SMOOTH_DRAWS):
        noise = torch.from_numpy(explained.draws(f"smooth {number}", *explained.inputs.shape)) * SMOOTH_NOISE * span
        whole += _logit(explained, classes, explained.inputs + noise.to(whole.dtype))
    return (whole / SMOOTH_DRAWS).abs()


def path_gradients(explained: Explained) -> Tensor:
    """Return integrated gradients of the predicted class's logit from zeros, signed (arXiv 1703.01365).

    They sum to the logit's difference between the input and zeros but for the error of the midpoint rule.
    """
    classes, whole = explained.predicted(), torch.zeros_like(explained.inputs)
    for number in range(PATH_STEPS):
        whole += _logit(explained, classes, explained.inputs * ((number + 0.5) / PATH_STEPS))
    return whole / PATH_STEPS * explained.inputs


def integrated_gradients(explained: Explained) -> Tensor:
    """Return the size of integrated gradients."""
    return path_gradients(explained).abs()


def random(explained: Explained) -> Tensor:
    """Return random scores."""
    shape = tuple(explained.inputs.shape)
    return torch.from_numpy(generator("random order", *explained.seed).random(shape, np.float32))


SHIPPED: Mapping[str, Method] = {
    "loss": loss,
    "logit": logit,
    "random_logit": random_logit,
    "all_logits": all_logits,
    "gradient_times_input": gradient_times_input,
    "smooth_gradient": smooth_gradient,
    "integrated_gradients": integrated_gradients,
    "random": random,
    **CAPTUM,
}
ATTRIBUTIONS: Registry[Method] = Registry("modeldiff.attributions", "attributions", SHIPPED)


def method_of(name: str) -> Method:
    """Return a registered method; raises ConfigError for one that there is not or whose package is not installed."""
    method = ATTRIBUTIONS.get(name)
    check_installed(name)
    return method


def ranked(
    scores: Float[np.ndarray, "examples values"], seed: tuple[int | str, ...]
) -> Int[np.ndarray, "examples values"]:
    """Return the positions of each example's values by falling score; equal scores come in a random order."""
    mixed = generator("ties", *seed).permuted(np.tile(np.arange(scores.shape[1]), (len(scores), 1)), axis=1)
    order = np.argsort(-np.take_along_axis(scores, mixed, 1), axis=1, kind="stable")
    return np.take_along_axis(mixed, order, 1)
