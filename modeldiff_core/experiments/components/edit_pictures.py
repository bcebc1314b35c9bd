"""Images of an edit, with the network's predictions before and after: targets, and examples of the rest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from modeldiff_core.ablation import Probes, Subject, ablated_outputs
from modeldiff_core.report.figures import Plot, plot
from modeldiff_core.report.mosaic import Tile, mosaic_height, paint_mosaic
from modeldiff_core.report.theme import Theme

SHOWN = 8
"""Images of targets, and of the reference, that are shown."""


def said_of(
    subject: Subject, probes: Probes, kept: Bool[np.ndarray, " components"], split: int, positions: Sequence[int]
) -> dict[str, list[dict[str, Any]]]:
    """Return label and predicted classes of some targets and reference examples, without and with the edit.

    Those whose prediction the edit changes come first, the largest changes of the output before smaller ones, then the
    others in their order.

    Args:
        subject: The network.
        probes: Targets, then reference examples.
        kept: The components that the edit leaves.
        split: How many targets there are.
        positions: The position of each example among the test examples.

    """
    masks = np.stack([np.ones_like(kept), kept])
    outputs = ablated_outputs(subject, probes, masks)
    classes = ablated_outputs(subject, Probes(probes.inputs, probes.labels, predicted), masks).astype(np.int64)
    found = {}
    for name, part in (("targets", slice(0, split)), ("reference", slice(split, None))):
        first = order(outputs[:, part], classes[:, part])[:SHOWN] + (part.start or 0)
        found[name] = [
            {
                "position": int(positions[at]),
                "label": int(probes.labels[at]),
                "before": int(classes[0, at]),
                "after": int(classes[1, at]),
            }
            for at in first
        ]
    return found


def predicted(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the class of the largest logit, as a float."""
    return logits.argmax(-1).to(torch.float32)


def order(outputs: Float[np.ndarray, "2 examples"], classes: Int[np.ndarray, "2 examples"]) -> Int[np.ndarray, " all"]:
    """Return the examples in the order in which they are shown."""
    changed = classes[0] != classes[1]
    return np.lexsort((-np.abs(outputs[1] - outputs[0]) * changed, ~changed))


def picture_plot(
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    images: UInt8[np.ndarray, "images height width channels"],
    classes: Sequence[str],
) -> Plot:
    """Return a row of targets and one of reference examples, each over its predictions before and after.

    Predictions that the edit made right are green, those that it made wrong have B's color, others are gray.
    """

    def tile(one: Mapping[str, Any], theme: Theme) -> Tile:
        right = one["after"] == one["label"]
        color = theme.muted if one["before"] == one["after"] else theme.good if right else theme.b
        return Tile(images[one["position"]], f"{classes[one['before']]} → {classes[one['after']]}", color)

    rows = [(name, found[name]) for name in ("targets", "reference") if found[name]]

    def paint(figure: Figure, theme: Theme) -> None:
        paint_mosaic(figure, theme, [(name, [tile(one, theme) for one in part]) for name, part in rows])

    return plot(paint, 720, mosaic_height(images.shape[1:], len(rows), SHOWN, 720, words=True))
