"""Which experts each token goes to, and what it costs to send them there unevenly."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from modeldiff_core.training.native.experts import native_route


@dataclass(frozen=True)
class Routing:
    """The experts of each token.

    Attributes:
        chosen: The K experts of each token, the most probable first.
        gates: The weight of each of their outputs.
        order: Numbers of (token, choice) pairs, token · K + choice, sorted by expert; pairs of one expert keep the
            order of their tokens. Every pair is there: no token is dropped, however many choose one expert.
        counts: Pairs of each expert.
        balance: Load-balance loss E Σ_e f_e P_e, with f_e the share of pairs and P_e the mean probability of expert e;
            1 when both are even (Fedus et al. 2022, eq. 4).
        z: Router-z loss, the mean of the squared log-sum-exp of the logits (Zoph et al. 2022, eq. 5).

    """

    chosen: Int[Tensor, "tokens active"]
    gates: Float[Tensor, "tokens active"]
    order: Int[Tensor, " pairs"]
    counts: Int[Tensor, " experts"]
    balance: Float[Tensor, ""]
    z: Float[Tensor, ""]


def route(
    logits: Float[Tensor, "tokens experts"], active: int, normalized: bool = False, compiled: bool = True
) -> Routing:
    """Send each token to the experts with its `active` largest logits.

    Args:
        logits: Of the router.
        active: Experts a token, K.
        normalized: Whether the gates of a token sum to 1 instead of being probabilities over all experts.
        compiled: Whether compiled code may choose, where there is any; it differs for equal logits alone.

    """
    tokens, experts = logits.shape
    probabilities = logits.softmax(1)
    found = native_route(logits, active) if compiled else None
    if found is None:
        chosen = logits.detach().topk(active, 1).indices
        flat = chosen.reshape(-1)
        found = chosen, torch.bincount(flat, minlength=experts), flat.argsort(stable=True)
    chosen, counts, order = found
    gates = probabilities.gather(1, chosen)
    if normalized:
        gates = gates / gates.sum(1, keepdim=True)
    shares = counts.to(logits.dtype) / (tokens * active)
    balance = experts * (shares * probabilities.mean(0)).sum()
    first = chosen[:, :1]  # log Σ exp l = l_e − log p_e of any expert e; the most probable one's p is at least 1 / E
    z = (logits.gather(1, first) - probabilities.gather(1, first).log()).square().mean()
    return Routing(chosen, gates, order, counts, balance, z)
