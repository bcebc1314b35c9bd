"""Whether a training is smooth enough for its derivative to say what a change of the training set does.

At a learning rate at which training is chaotic the derivative is exact and useless: it describes steps far smaller than
leaving out an example. Forward products are therefore held against whole trainings at steps that matter.
"""

from copy import copy

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.identity import generator
from modeldiff_core.metagradients.process import Process

FEW, MANY = 0.01, 0.1
"""Shares of the training examples whose weights are changed: a few examples, and a tenth of the data."""
SMOOTH = 0.7
"""Agreement below which derivatives are not to be relied upon (benchmarks/RESULTS.md)."""
REMEDIES = (
    "lower recipe.peak or recipe.learning_rate first, then a larger recipe.batch_size, average instead of max pooling, "
    "a smoother activation, or more trainings; for datamodels of the algorithm as it is regression.prior=metagradient "
    "with regression.settings.metagradient.learning_rate_factor=0.2, the derivatives of a slower copy"
)


def changes_of_weights(
    weights: Float[np.ndarray, " train"], shares: tuple[float, ...], seed: int
) -> Float[Tensor, "shares train"]:
    """Return for each share a change that takes the weight from some examples, or doubles it, at random.

    Each is ±weight on that share of the examples, one at least, and 0 on all others.
    """
    rows = np.zeros((len(shares), len(weights)))
    for at, share in enumerate(shares):
        draws = generator("smoothness", seed, at)
        chosen = draws.permutation(len(weights))[: max(1, round(share * len(weights)))]
        rows[at, chosen] = weights[chosen] * draws.choice([-1.0, 1.0], len(chosen))
    return torch.from_numpy(rows)


def whole_differences(process: Process, changes: Float[Tensor, "probes train"]) -> Float[Tensor, "probes targets"]:
    """Return [outputs at weights + change − outputs at weights − change]/2 of whole trainings, two for each change."""
    rows = []
    for change in changes.to(process.weights):
        ends = [_outputs(process, process.weights + sign * change) for sign in (1, -1)]
        rows.append((ends[0] - ends[1]) / 2)
    return torch.stack(rows)


def agreement(
    forward: Float[np.ndarray, "probes targets"], differences: Float[np.ndarray, "probes targets"]
) -> Float[np.ndarray, " probes"]:
    """Return the correlation over targets of forward products and differences of whole trainings; 0 if either is flat.

    1: the derivative says what a change of this size does; 0: it says nothing.
    """
    x, y = (values - values.mean(1, keepdims=True) for values in (forward.astype(float), differences.astype(float)))
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.asarray(np.divide((x * y).sum(1), norms, out=np.zeros(len(x)), where=norms > 0))


def tail(products: Float[np.ndarray, "probes targets"]) -> float:
    """Return the 99th percentile of |product| over its median: about 4 for normal ones, large with a long tail."""
    sizes = np.abs(products)
    middle = float(np.median(sizes))
    return float(np.percentile(sizes, 99)) / middle if middle > 0 else np.inf


def _outputs(process: Process, weights: Float[Tensor, " train"]) -> Float[Tensor, " targets"]:
    """Return the outputs after a training with other weights, divided by the same numbers."""
    own = copy(process)
    own.weights = weights
    state = own.initial()
    for step in range(own.steps):
        batch = own.batch(step)
        state = {name: value.detach() for name, value in own.step(state, weights[batch.members], batch).items()}
    return torch.cat([own.outputs(state, rows) for rows in own.target_slices(1)]).detach()
