"""Stage: attributions that need no regression: from gradients, and a random order."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from modeldiff_core.ablation import gradient_attributions
from modeldiff_core.identity import generator
from modeldiff_core.plan import Array, Cost, Label, Step, Tensors
from modeldiff_core.responses import Ablated
from modeldiff_core.store import MarginMatrix, ObjectStore
from modeldiff_core.training import Execution

VERSION = 1
GRADIENTS = "gradient_parameter", "conductance", "influence"
FOLDER = "components"
Attributions = Float[np.ndarray, "targets components"]


@dataclass(frozen=True)
class Gradients:
    """The three attributions from gradients of all targets of a network."""

    ablated: Ablated

    @property
    def product(self) -> Tensors:
        """Where they are."""
        axes = {"targets": self.ablated.targets, "components": len(self.ablated.components)}
        identity = {"version": VERSION, "ablated": self.ablated.digest}
        return Tensors.of(FOLDER, "gradients", identity, *(Array(name, axes) for name in GRADIENTS))

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes them."""
        cost = Cost(0.01 * self.ablated.targets)
        return Step(name, self.product, differentiate, self, self.ablated.network.needs, label, cost, on_device=True)


def differentiate(store: ObjectStore, spec: Gradients, execution: Execution) -> None:
    """Write the attributions."""
    subject, opened = spec.ablated.open(store, execution)
    found = gradient_attributions(subject, opened.probes)
    arrays = {name: getattr(found, name).float().cpu().numpy() for name in GRADIENTS}
    spec.product.write(store, arrays)


def left_out(matrix: MarginMatrix) -> Attributions:
    """Return what each output loses when a component alone is ablated, from the rows of ``LeaveOneOut``.

    A component without which some output is not finite counts as zero.
    """
    margins, valid = matrix.margins(), matrix.valid()
    changes = np.where(valid[1:, None], margins[:1] - margins[1:], 0)
    return np.ascontiguousarray(changes.T).astype(np.float32)


def random_attributions(targets: int, components: int, seed: int) -> Attributions:
    """Return weights of a random order, another one for each target."""
    drawn = generator("random attributions", seed).standard_normal((targets, components))
    return drawn.astype(np.float32)
