"""Outputs of a network under many ablations, in float32 or, where the two agree, in bfloat16."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float

from modeldiff_core.ablation.chain import chain_of, chain_outputs
from modeldiff_core.ablation.subject import Probes, Subject
from modeldiff_core.ablation.together import outputs_together
from modeldiff_core.errors import ConfigError
from modeldiff_core.training.devices import fast_arithmetic

MEMORY = 64 * 2**20
"""Bytes of activations in one launch: what stays near a processor's cache is also the fastest there."""

Precision = Literal["float32", "bfloat16"]
"""What the products and convolutions of ablations are computed in."""
TOLERANCE = 0.05
"""Largest root mean square difference of bfloat16's outputs from float32's, as a share of that of the changes."""
CHECKED = 4
"""Ablations on which the two are compared."""


def ablated_outputs(
    subject: Subject,
    probes: Probes,
    masks: Bool[np.ndarray, "rows components"],
    memory: int = MEMORY,
    precision: Precision = "float32",
) -> Float[np.ndarray, "rows targets"]:
    """Return the output of each target when the components that a row lacks are ablated, in float32 (COAR, section 3).

    Chains of layers go their own way (``chain``), every other network through vmap (``together``).

    Args:
        subject: The network.
        probes: The targets.
        masks: The components that each row has.
        memory: Bytes that activations of one launch may take; more rows or targets are worked on in parts.
        precision: What products and convolutions are computed in.

    """
    gates = torch.from_numpy(masks).to(subject.device, torch.float32)
    links = chain_of(subject)
    half = torch.autocast(subject.device.type, torch.bfloat16, enabled=precision == "bfloat16")
    with fast_arithmetic(subject.device), half:
        if links is not None:
            found = chain_outputs(subject, links, probes, gates, memory)
        else:
            found = outputs_together(subject, probes, gates, memory)
    return found.cpu().numpy()


def check_bfloat16(subject: Subject, probes: Probes, masks: Bool[np.ndarray, "rows components"]) -> None:
    """Raise ConfigError if bfloat16 gives other outputs than float32 on the first ablations, by more than TOLERANCE.

    The difference is compared with what ablation changes: rms(bfloat16 − float32) / rms(float32 − without ablation).
    """
    some = masks[~masks.all(1)][:CHECKED]
    if not len(some):
        return
    rows = np.concatenate([np.ones_like(some[:1]), some])
    exact, other = (ablated_outputs(subject, probes, rows, precision=one) for one in ("float32", "bfloat16"))
    changes = float(np.sqrt(np.mean((exact[1:] - exact[:1]) ** 2)))
    apart = float(np.sqrt(np.mean((other - exact) ** 2)))
    if not apart <= TOLERANCE * changes:
        expected = f"float32, since bfloat16's outputs differ by more than {TOLERANCE:.0%} of what ablation changes"
        raise ConfigError("ablation.precision", expected, "bfloat16", f"{apart:.3g} of {changes:.3g}")
