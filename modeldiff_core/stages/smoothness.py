"""Stage: whether a training is smooth enough for its derivative to be relied upon."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modeldiff_core.metagradients import forward_products
from modeldiff_core.metagradients.smoothness import (
    FEW,
    MANY,
    REMEDIES,
    SMOOTH,
    agreement,
    changes_of_weights,
    tail,
    whole_differences,
)
from modeldiff_core.plan import Array, Cost, Label, Step, Tensors
from modeldiff_core.stages.products import Derived
from modeldiff_core.stages.times import write_time
from modeldiff_core.store import ObjectStore
from modeldiff_core.training import Execution
from modeldiff_core.training.devices import available_device, fast_arithmetic

VERSION = 1
SHARES = (FEW, MANY)


@dataclass(frozen=True)
class Smoothness:
    """Forward products of one training against whole trainings, at a few examples and at a tenth of the data."""

    derived: Derived
    seed: int

    @property
    def product(self) -> Tensors:
        """Where it is: both [changes, targets], and the norms' tail."""
        identity = {**self.derived.identity, "smoothness": VERSION, "shares": list(SHARES), "seed": self.seed}
        shape = {"changes": len(SHARES), "targets": self.derived.training.targets}
        arrays = Array("forward", shape, finite=False), Array("differences", shape, finite=False)
        return Tensors.of(self.derived.folder, f"smoothness-{self.derived.number:05d}", identity, *arrays)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes it."""
        cost = Cost(2e-4 * len(SHARES) * self.derived.units)
        return Step(name, self.product, measure_smoothness, self, (), label, cost, on_device=True)


def measure_smoothness(store: ObjectStore, spec: Smoothness, execution: Execution) -> None:
    """Run a training, its forward products, and two whole trainings for each change; store both."""
    began = time.process_time()
    with fast_arithmetic(available_device(execution.device)):
        trajectory = spec.derived.run(execution)
        process = trajectory.process
        changes = changes_of_weights(process.weights.cpu().double().numpy(), SHARES, spec.seed)
        forward = forward_products(trajectory, changes).cpu().numpy()
        differences = whole_differences(process, changes).cpu().numpy()
    write_time(store, spec.product.reference.record, time.process_time() - began)
    spec.product.write(store, {"forward": forward, "differences": differences})


def smoothness_entry(store: ObjectStore, checks: Sequence[Smoothness]) -> dict[str, dict[str, float | None]]:
    """Return what summary.json says of A's and of B's training.

    few, many: agreement at either of SHARES, 0 where a training diverged. tail: of the forward products, None there.
    """
    found = {}
    for which, check in zip("ab", checks, strict=True):
        arrays = check.product.read(store)
        finite = all(bool(np.isfinite(arrays[name]).all()) for name in ("forward", "differences"))
        few, many = agreement(arrays["forward"], arrays["differences"]).tolist() if finite else (0.0, 0.0)
        found[which] = {"few": few, "many": many, "tail": tail(arrays["forward"]) if finite else None}
    return found


def smoothness_sentences(
    names: Mapping[str, str], found: Mapping[str, Any], repeated: Mapping[str, float | None]
) -> list[str]:
    """Return the agreement of each algorithm as a number, and a warning that names remedies where it is too low.

    Args:
        names: Of the algorithms, by letter.
        found: See ``smoothness_entry``.
        repeated: Share of derivatives that trainings of an algorithm have in common, None where it is not known.

    """
    told = [f"{name} {found[letter]['few']:.2f} and {found[letter]['many']:.2f}" for letter, name in names.items()]
    said = [
        "Smoothness of training (correlation over test images of derivatives with differences of whole trainings, "
        f"{100 * FEW:g} % and {100 * MANY:g} % of the training images taken out or doubled): {', '.join(told)}."
    ]
    shares = [f"{name} {share:.2f}" for letter, name in names.items() if (share := repeated[letter]) is not None]
    if shares:
        said.append(f"Share of the derivatives that different trainings have in common: {', '.join(shares)}.")
    rough = [name for letter, name in names.items() if min(found[letter]["few"], found[letter]["many"]) < SMOOTH]
    if rough:
        said.append(
            f"Not smooth enough: derivatives of {' and of '.join(rough)} hardly say what a change of the training set "
            f"does (below {SMOOTH:g}), and directions that rest on them cannot be relied upon. What helps: {REMEDIES}."
        )
    return said
