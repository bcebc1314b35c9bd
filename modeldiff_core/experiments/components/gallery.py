"""Stage: the images that switch on the components that matter most; and the picture of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from modeldiff_core.ablation.fill import captured
from modeldiff_core.experiments.components.baselines import FOLDER
from modeldiff_core.experiments.components.scores import FITTED, ComponentScores
from modeldiff_core.plan import Label, Record, Reference, Step, refer
from modeldiff_core.plan.products import read_digested
from modeldiff_core.report.figures import Plot, plot
from modeldiff_core.report.mosaic import Tile, mosaic_height, paint_mosaic
from modeldiff_core.report.theme import Theme
from modeldiff_core.responses import Ablated
from modeldiff_core.store import ObjectStore, write_record
from modeldiff_core.training import Execution

VERSION = 1
COMPONENTS, IMAGES = 6, 8
"""Components that are shown, and images of each."""


@dataclass(frozen=True)
class Gallery:
    """The attributed images on which the components of largest weights give most, of one network."""

    ablated: Ablated
    scores: ComponentScores

    @property
    def reference(self) -> Reference:
        """Where they are named."""
        identity = {"version": VERSION, "scores": self.scores.reference.digest, "shown": [COMPONENTS, IMAGES]}
        return refer(FOLDER, "gallery", identity)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that finds them."""
        return Step(name, Record(self.reference), find_images, self, (self.scores.reference,), label, on_device=True)

    def read(self, store: ObjectStore) -> list[dict[str, Any]]:
        """Return the components with their images, checked."""
        found: list[dict[str, Any]] = read_digested(store, self.reference)["components"]
        return found


def find_images(store: ObjectStore, spec: Gallery, execution: Execution) -> None:
    """Write, for each component, the images of largest mean output over its positions and entries.

    Components that are parameters of torch's own attention give nothing by themselves and are left out.
    """
    subject, opened = spec.ablated.open(store, execution)
    components = spec.ablated.components
    values = captured(subject.net, components, opened.probes.inputs)
    sizes = np.array(spec.scores.read(store)["sizes"][FITTED])
    found: list[dict[str, Any]] = []
    for component in np.argsort(-sizes, kind="stable"):
        position = int(components.layer_of[component])
        layer, value = components.layers[position], values[position]
        if len(found) == COMPONENTS:
            break
        if layer.place == "parameter":
            continue
        at = (int(component) - components.starts[position]) * layer.size
        own = value.movedim(layer.axis, 1)[:, at : at + layer.size].flatten(1).mean(1).cpu().numpy()
        first = np.argsort(-own, kind="stable")[:IMAGES]
        images, outputs = [int(one) for one in first], [float(own[one]) for one in first]
        name = components.named(int(component))
        found.append({"component": name, "size": float(sizes[component]), "images": images, "outputs": outputs})
    write_record(store, spec.reference.record, {"digest": spec.reference.digest, "components": found})


def gallery_plot(found: list[dict[str, Any]], images: UInt8[np.ndarray, "images height width channels"]) -> Plot:
    """Return a row of images for each component, those that it gives most on first."""
    rows = [(one["component"], [Tile(images[image]) for image in one["images"]]) for one in found]

    def paint(figure: Figure, theme: Theme) -> None:
        paint_mosaic(figure, theme, rows)

    return plot(paint, 620, mosaic_height(images.shape[1:], len(rows), IMAGES, 620, words=False))
