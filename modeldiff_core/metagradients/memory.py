"""How much memory products through a training take."""

import numpy as np
from torch import Tensor, nn

from modeldiff_core.metagradients.dense import RECENT, DenseProcess
from modeldiff_core.metagradients.networks import ImageInputs
from modeldiff_core.metagradients.sgd import SgdProcess, parts_of
from modeldiff_core.metagradients.trajectory import state_bytes

HELD = 5
"""Tensors of a batch's activations that a probe holds at a time, written out: two of each of the first two layers."""


def product_bytes(process: SgdProcess, slots: int, probes: int) -> int:
    """Return the most bytes that a trajectory with `slots` states and products of so many probes at once hold.

        (slots + 3)·|state| + probes·(2·|state| + HELD·|activations| + |train|) + passes + inputs + evaluation

    |state|: values, velocities and running statistics of the network. |activations|: what all layers give for one
    batch. |train|: a number for each training example, which reverse products add up. passes: of a fully connected
    network's batches, and inputs: of all training examples where no augmentation draws anything, each kept up to a
    bound, and the latest RECENT passes in any case. evaluation: inputs and layers of all probes for as many targets as
    are evaluated together.
    """
    initial = process.initial()
    state, size = state_bytes(initial), next(iter(initial.values())).element_size()
    batch = process.batch(0)
    given = int(batch.data["x"][0].numel())
    layers = _numbers(process, batch.data["x"][:2])
    examples = len(batch.members)
    passes = 0
    if isinstance(process, DenseProcess):
        one = (given + 3 * layers) * examples * size
        passes = min(process.passes, slots * one) + RECENT * one
    together = min(process.targets, process.targets_at_once(probes))
    kept = process.data.inputs
    return int(
        (slots + 3) * state
        + probes * (2 * state + HELD * layers * examples * size + process.units * size)
        + passes
        + (kept.prepared_bytes if isinstance(kept, ImageInputs) else 0)
        + together * (probes + 1) * (given + HELD * layers) * size
    )


def _numbers(process: SgdProcess, x: Tensor) -> int:
    """Return how many numbers all layers without layers of their own give for one example."""
    found = 0

    def count(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal found
        found += int(np.prod(made.shape[1:]))

    network = process.network.evaluation
    hooks = [one.register_forward_hook(count) for one in network.modules() if not list(one.children())]
    try:
        values, _, statistics = parts_of(process.initial())
        process.network.logits({**values, **statistics}, x)
    finally:
        for hook in hooks:
            hook.remove()
    return found
