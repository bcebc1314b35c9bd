"""Stage: training examples that make the models of one algorithm lie further apart, and not those of the other."""

from dataclasses import dataclass

import numpy as np

from modeldiff_core.datamodels import FromMasks
from modeldiff_core.evaluation.spread import Spread, spread, spread_difference
from modeldiff_core.identity import generator
from modeldiff_core.plan import Array, Cost, Label, Reference, Step, Tensors, refer
from modeldiff_core.stages.directions import FOLDER
from modeldiff_core.stages.regress import read_datamodels
from modeldiff_core.stages.regression import Regression
from modeldiff_core.store import MarginMatrix, ObjectStore, TensorObject, read_tensors, write_tensors

VERSION = 1
VERSION_BY_EXAMPLE = 2
"""Of comparisons with several models a mask, which are tested by example, too: those of a few examples are found."""
TARGETS, DRAWS = 128, 99
"""Most targets whose spread is compared, drawn at random, and draws of the null."""


@dataclass(frozen=True)
class SpreadSpec:
    """The datamodels of A and of B on all models, whose margins share their masks, and how many models a mask has."""

    a: Regression
    b: Regression
    seeds: int = 1

    @property
    def possible(self) -> bool:
        """Whether residuals can be taken: the estimator fits margins to masks."""
        return isinstance(self.a.estimator, FromMasks)

    @property
    def reference(self) -> Reference:
        """Where the direction is stored."""
        version = VERSION_BY_EXAMPLE if self.seeds > 1 else VERSION
        identity = {"version": version, "a": self.a.reference.digest, "b": self.b.reference.digest}
        return refer(FOLDER, "spread", identity, record="{key}.safetensors")

    def targets(self) -> np.ndarray:
        """Return the targets whose spread is compared, sorted."""
        return compared_targets(self.a.targets)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that finds it."""
        arrays = Array("direction", {"train": self.a.units}), Array("projections", {"targets": len(self.targets())})
        made = Tensors(self.reference, {"spread": self.reference.digest}, arrays)
        needs = (self.a.reference, self.b.reference)
        return Step(name, made, compare_spread, self, needs, label, Cost(1e-6 * self.a.units * DRAWS))


def compared_targets(targets: int) -> np.ndarray:
    """Return which of so many targets have their spread compared, sorted."""
    return np.sort(generator("spread targets", targets).permutation(targets)[:TARGETS])


@dataclass(frozen=True)
class FoundSpread:
    """What was found: kind, p and variance, the direction, and the targets compared with their projections."""

    kind: str
    p: float
    variance: float
    direction: np.ndarray
    targets: np.ndarray
    projections: np.ndarray


def compare_spread(store: ObjectStore, spec: SpreadSpec) -> None:
    """Store the leading direction of the difference of A's and B's spread."""
    chosen = spec.targets()
    matrices = [MarginMatrix.open(store, fit.matrix.key) for fit in (spec.a, spec.b)]
    keep = np.logical_and(*(matrix.valid() for matrix in matrices))
    sides: list[Spread] = []
    for matrix, fit in zip(matrices, (spec.a, spec.b), strict=True):
        masks, fitted = matrix.masks()[keep], read_datamodels(store, fit)
        predicted = masks.astype(np.float32) @ fitted.weights[chosen].T + fitted.bias[chosen]
        margins = matrix.margins()[keep][:, chosen]
        sides.append(spread(masks, margins.astype(np.float64), predicted.astype(np.float64)))
    found = spread_difference(*sides, draws=DRAWS, by_example=spec.seeds > 1)
    arrays = {"direction": found.direction, "projections": found.projections, "targets": chosen}
    facts = {"kind": found.kind, "p": found.p, "variance": found.variance}
    write_tensors(store, spec.reference.record, TensorObject(arrays, {"spread": spec.reference.digest}, facts))


def read_spread(store: ObjectStore, spec: SpreadSpec) -> FoundSpread:
    """Return what was found, checked."""
    content = read_tensors(store, spec.reference.record, {"spread": spec.reference.digest})
    facts, arrays = content.facts, content.arrays
    p, variance = (float(str(facts[name])) for name in ("p", "variance"))
    return FoundSpread(str(facts["kind"]), p, variance, arrays["direction"], arrays["targets"], arrays["projections"])
