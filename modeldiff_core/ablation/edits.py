"""Edits: sets of components whose ablation raises or lowers the outputs of some examples and spares those of others."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modeldiff_core.ablation.subject import Subject
from modeldiff_core.errors import ConfigError

Attributed = Float[np.ndarray, "_examples components"]
CANDIDATES = 16
"""Components that the linear model proposes for each place of a set, and that are then tried."""


@dataclass(frozen=True)
class Aim:
    """What an edit is for.

    Attributes:
        raises: Whether the outputs of the targets are to become larger.
        limit: Largest share of the reference examples that may turn from right to wrong.
        most: Largest number of components.
        enough: Mean u of the targets at which the set is large enough; see ``limited_loss_set``.

    """

    raises: bool
    limit: float = 0.02
    most: int = 40
    enough: float = math.inf

    @property
    def sign(self) -> int:
        """1 to raise, −1 to lower."""
        return 1 if self.raises else -1


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


@dataclass(frozen=True)
class Choosing:
    """The examples that a set is chosen on, with what is known of them.

    Attributes:
        outputs: Gives true outputs [rows, targets + reference] of masks, the targets first.
        targets: Attributions of the targets.
        reference: Attributions of the reference examples.

    """

    outputs: Callable[[Bool[np.ndarray, "rows components"]], Float[np.ndarray, "rows examples"]]
    targets: Attributed
    reference: Attributed


def limited_loss_set(choosing: Choosing, aim: Aim) -> list[int]:
    """Return the components of an edit that costs the reference examples little, in the order in which they are added.

    Step by step: the linear model predicts, from the true outputs so far, what each further component does to targets
    and reference; the CANDIDATES best are tried, and of those that keep the true share of right reference examples
    within the limit the best is taken. It ends where none helps any more, or where mean u is enough. Outputs count up
    to the median of the reference's, so that an example that is safely right gives no more: with u(y) = min(±y, cap) of
    the targets and v(y) = min(y, cap) of the reference, mean u + mean v is what becomes larger.
    """
    count, components = choosing.targets.shape
    mask = np.ones(components, dtype=bool)
    now = choosing.outputs(mask[None])[0]
    cap, least = float(np.median(now[count:])), float((now[count:] > 0).mean()) - aim.limit
    cap = max(cap, 1e-6)
    best, chosen = _worth(now[None], count, aim, cap)[0], list[int]()
    while len(chosen) < aim.most:
        every = np.concatenate([choosing.targets, choosing.reference])
        predicted = _worth((now[:, None] - every).T, count, aim, cap)
        predicted[~mask] = -np.inf
        tried = np.argsort(-predicted, kind="stable")[:CANDIDATES]
        tried = tried[mask[tried]]
        rows = np.repeat(mask[None], len(tried), axis=0)
        rows[np.arange(len(tried)), tried] = False
        outputs = choosing.outputs(rows)
        worth = _worth(outputs, count, aim, cap)
        worth[(outputs[:, count:] > 0).mean(1) < least - 1e-9] = -np.inf
        at = int(worth.argmax()) if len(worth) else -1
        if at < 0 or worth[at] <= best + 1e-4 * cap:
            break
        best, now = float(worth[at]), outputs[at]
        chosen.append(int(tried[at]))
        mask[tried[at]] = False
        if np.minimum(aim.sign * now[:count], cap).mean() >= aim.enough:
            break
    return chosen


def _worth(outputs: Float[np.ndarray, "rows examples"], count: int, aim: Aim, cap: float) -> Float[np.ndarray, " rows"]:
    """Return mean u of the targets plus mean v of the reference."""
    targets = np.minimum(aim.sign * outputs[:, :count], cap).mean(1)
    return np.asarray(targets + np.minimum(outputs[:, count:], cap).mean(1))


def edited_state(subject: Subject, kept: Bool[np.ndarray, " components"]) -> dict[str, Tensor]:
    """Return the network's state_dict with the ablation written into its weights.

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
