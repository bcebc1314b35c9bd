"""Parameters and FLOPs of a mixture-of-experts transformer (arXiv 2501.12370, appendix)."""

from modeldiff_core.training.moe.network import MoeNetwork

PASSES = 6
"""FLOPs of training per token and weight of a product: 2 forward, 4 backward."""
ROUTER = 14
"""FLOPs of training per token, width and expert that the paper counts for a router: its product and the choice."""


def parameters(network: MoeNetwork) -> int:
    """Return N, all trainable parameters: L (4 d² + 12 d² E / G + d E) + norms + V d (twice if it is not tied)."""
    return _parameters(network, network.experts)


def active_parameters(network: MoeNetwork) -> int:
    """Return N_a, the parameters that a token passes through: as `parameters` with K experts, and all of the router."""
    return _parameters(network, network.active)


def _parameters(network: MoeNetwork, experts: int) -> int:
    d = network.width
    norms = 2 * d + 2 * d // network.heads
    block = 4 * d * d + 3 * d * network.hidden * experts + d * network.experts + norms
    return network.layers * block + d + network.vocabulary * d * (1 if network.tied else 2)


def token_flops(network: MoeNetwork, router: int = ROUTER) -> int:
    """Return the FLOPs of training on one token.

    6 L d² (4 + 2 n_ctx / d + 12 K / G + n_vocab / (d L)) + 14 d E L: attention is counted without its causal half being
    left out, and the router by its own constant.

    Args:
        network: The network.
        router: FLOPs per token, width and expert of a router; 6 counts its matrix product alone, as torch does.

    """
    d, layers = network.width, network.layers
    block = 4 * d * d + 2 * network.context * d + 3 * d * network.hidden * network.active
    return PASSES * (layers * block + network.vocabulary * d) + router * d * network.experts * layers


def step_flops(network: MoeNetwork, sequences: int) -> int:
    """Return the FLOPs of one step of training on so many full sequences."""
    return token_flops(network) * sequences * network.context
