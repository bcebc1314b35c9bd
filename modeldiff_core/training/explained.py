"""What an attribution method is given: a network's logits as a function, examples with labels, and a seed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from modeldiff_core.identity import generator

Logits = Callable[[Tensor], Tensor]
"""Maps inputs [examples, height, width, channels] to logits [examples, classes]."""
SMOOTH_DRAWS, SMOOTH_NOISE = 16, 0.15
"""Noisy copies of an image in SmoothGrad, and their standard deviation over the largest input less the least."""
PATH_STEPS = 16
"""Midpoints of the path of integrated gradients from an input of zeros."""


@dataclass(frozen=True)
class Explained:
    """A network and the examples to explain; seed: of what a method draws, one for each batch of examples."""

    logits: Logits
    inputs: Float[Tensor, "examples height width channels"]
    labels: Int[Tensor, " examples"]
    seed: tuple[int | str, ...] = (0,)

    def draws(self, what: str, *shape: int) -> Float[np.ndarray, "..."]:
        """Return standard normal numbers."""
        return generator(what, *self.seed).standard_normal(shape, np.float32)

    def predicted(self) -> Int[Tensor, " examples"]:
        """Return the class of the largest logit of each example."""
        with torch.no_grad():
            return self.logits(self.inputs).argmax(1)
