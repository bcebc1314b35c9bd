"""Edits: components in the order of Welch's score, and networks that keep an edit in their weights."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modeldiff_core.ablation.limited_loss import Attributed
from modeldiff_core.ablation.subject import Subject
from modeldiff_core.errors import ConfigError


def welch_scores(targets: Attributed, reference: Attributed) -> Float[np.ndarray, " components"]:
    """Return (mean_T − mean_R)/√(s²_T/n_T + s²_R/n_R) of each component's attributions (COAR, section 5).

    Components whose attributions do not vary score 0. Variances are those of the examples, divided by n.
    """
    difference = targets.mean(0) - reference.mean(0)
    spread = np.sqrt(targets.var(0) / len(targets) + reference.var(0) / len(reference))
    scores = np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 0)
    return np.asarray(scores)


def in_order(scores: Float[np.ndarray, " components"], raises: bool) -> Int[np.ndarray, " components"]:
    """Return the components in the order in which they are ablated: the lowest scores first to raise outputs."""
    return np.argsort(scores if raises else -scores, kind="stable")


def edited_state(subject: Subject, kept: Bool[np.ndarray, " components"]) -> dict[str, Tensor]:
    """Return the network's state_dict with the ablation written into its weights (an edit of COAR, section 5).

    Weights of a component that is not kept become 0. Its bias becomes 0 under 'zero', stays under 'weights', and under
    'mean' becomes the mean, which it then gives whatever its input. Shapes are those of the network's own state_dict.

    Raises ConfigError for a fill that no weights give: resampled values, and means of components without a bias.
    """
    state = {name: value.clone() for name, value in subject.net.state_dict().items()}
    for position, (layer, fill) in enumerate(zip(subject.components.layers, subject.fills, strict=True)):
        gone = torch.from_numpy(np.repeat(~kept[subject.components.within(position)], layer.size))
        if not gone.any():
            continue
        biases = [part for part in layer.slices if part.bias]
        if fill is not None and (len(fill) > 1 or not biases):
            expected = "zero or weights, or mean where components have a bias"
            raise ConfigError("ablation.fill", f"{expected}, for an edit that is kept as weights", layer.module)
        for part in layer.slices:
            value = state[part.parameter].movedim(part.axis, 0)
            if not part.bias:
                value[gone] = 0
            elif fill is not None:
                value[gone] = fill.flatten()[gone]
            elif not subject.keeps_bias:
                value[gone] = 0
    return state
