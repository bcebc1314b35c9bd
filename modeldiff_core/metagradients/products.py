"""Products of the Jacobian of a whole training: how the outputs change with the weights of the examples.

J[target, example] = ∂ output(target) / ∂ weight(example) at the process's weights, through all steps of the training.
Neither product forms it. Derivatives through training: Engstrom et al., 2025 (arXiv 2503.13751); the same for data
attribution: Ilyas and Engstrom, 2025 (arXiv 2504.16430).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.metagradients.process import zeros_like
from modeldiff_core.metagradients.trajectory import Trajectory


def forward_products(
    trajectory: Trajectory, directions: Float[Tensor, "probes train"]
) -> Float[Tensor, "probes targets"]:
    """Return J·ω for each direction ω over the training set: the change of every output along it.

    J [targets, train] = ∂outputs/∂weights of the training examples, at the trajectory's point.

    Tangents of the state are carried through all steps, for all probes at once, beside the training if that has not run
    yet. Memory beyond the trajectory's: probes·(2·|state| + activations of a batch).
    """
    process = trajectory.process
    directions = directions.to(process.weights)
    tangents = process.carry(trajectory.forward(), zeros_like(process.initial(), len(directions)), directions)
    return process.push_outputs(trajectory.last, tangents).detach()


def reverse_products(trajectory: Trajectory, probes: Float[Tensor, "probes targets"]) -> Float[Tensor, "probes train"]:
    """Return Jᵀ·ψ for each weighting ψ of the targets: the gradient of Σ_t ψ_t·output_t over the training set.

    J as in `forward_products` (Engstrom et al., 2025, arXiv 2503.13751).

    Cotangents of the state are carried back through all steps, for all probes at once. Memory beyond the
    trajectory's: probes·(2·|state| + activations of a batch + train).
    """
    process = trajectory.process
    probes = probes.to(process.weights)
    gradient = process.weights.new_zeros((len(probes), process.units))
    # They are changed in place, and zeros may share their memory.
    cotangents = {
        name: value.clone(memory_format=torch.contiguous_format)
        for name, value in process.pull_outputs(trajectory.last, probes).items()
    }
    process.carry_back(trajectory.backward(), cotangents, gradient)
    return gradient
