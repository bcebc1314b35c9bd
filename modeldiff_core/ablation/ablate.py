"""Outputs of a network under many ablations."""

import numpy as np
import torch
from jaxtyping import Bool, Float

from modeldiff_core.ablation.chain import chain_of, chain_outputs
from modeldiff_core.ablation.subject import Probes, Subject
from modeldiff_core.ablation.together import outputs_together
from modeldiff_core.training.devices import fast_arithmetic

MEMORY = 64 * 2**20
"""Bytes of activations in one launch: what stays near a processor's cache is also the fastest there."""


def ablated_outputs(
    subject: Subject, probes: Probes, masks: Bool[np.ndarray, "rows components"], memory: int = MEMORY
) -> Float[np.ndarray, "rows targets"]:
    """Return the output of each target when the components that a row lacks are ablated, in float32.

    Chains of layers go their own way (``chain``), every other network through vmap (``together``).

    Args:
        subject: The network.
        probes: The targets.
        masks: The components that each row has.
        memory: Bytes that activations of one launch may take; more rows or targets are worked on in parts.

    """
    gates = torch.from_numpy(masks).to(subject.device, torch.float32)
    links = chain_of(subject)
    with fast_arithmetic(subject.device):
        if links is not None:
            found = chain_outputs(subject, links, probes, gates, memory)
        else:
            found = outputs_together(subject, probes, gates, memory)
    return found.cpu().numpy()
