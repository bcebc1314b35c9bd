"""Attributions of trained networks on examples of their replicate."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from modeldiff_core.models import StackedNetwork
from modeldiff_core.training.explained import Explained
from modeldiff_core.training.input_attributions import method_of

BLOCK = 500
"""Examples that are explained together."""


def attributed(
    network: tuple[StackedNetwork, Mapping[str, Float[np.ndarray, "ensemble ..."]]],
    method: str,
    inputs: Float[np.ndarray, "examples height width channels"],
    labels: Int[np.ndarray, " examples"],
    seed: tuple[int | str, ...],
) -> Float[np.ndarray, "examples height width channels"]:
    """Return a method's scores of every value of the inputs, for the mean logits of an ensemble.

    Args:
        network: The stack and the weights of the ensemble.
        method: A registered method.
        inputs: The examples.
        labels: Of the examples.
        seed: Of what the method draws.

    """
    stack, weights = network[0], {name: torch.from_numpy(np.array(value)) for name, value in network[1].items()}
    models, explain, found = len(next(iter(weights.values()))), method_of(method), []

    def logits(x: Tensor) -> Tensor:
        return stack.logits(weights, x[None].expand(models, *x.shape)).mean(0)

    for at in range(0, len(inputs), BLOCK):
        x, y = torch.from_numpy(inputs[at : at + BLOCK]), torch.from_numpy(labels[at : at + BLOCK])
        found.append(explain(Explained(logits, x, y, (*seed, method, at))).numpy())
    return np.concatenate(found)
