"""Runs as a store keeps them, whoever made them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modeldiff_core.plan import Reference, Tensors
from modeldiff_core.scaling import Runs
from modeldiff_core.scaling.rates import best_rates
from modeldiff_core.store import ObjectStore, read_tensors

FOLDER = "scaling"
VERSION = 1


@dataclass(frozen=True)
class StoredRuns:
    """Runs in the store, at ``scaling/runs-<digest8>.safetensors``.

    Attributes:
        identity: What decides them: the digest of a table's values, or of the trainings that they come from.
        version: Of how they are stored.

    """

    identity: str
    version: int = VERSION

    @property
    def product(self) -> Tensors:
        """The columns, by the names of ``Runs``; notes are facts of the object."""
        return Tensors.of(FOLDER, "runs", self)

    @property
    def reference(self) -> Reference:
        """Where they are."""
        return self.product.reference

    def write(self, store: ObjectStore, runs: Runs) -> None:
        """Put runs."""
        self.product.write(store, runs.columns(), {"notes": list(runs.notes), "cell": list(runs.cell)})

    def read(self, store: ObjectStore) -> Runs:
        """Return the runs as they were put; raises DamagedObject or FileNotFoundError."""
        arrays = self.product.read(store)
        facts: Any = read_tensors(store, self.reference.record).facts
        columns = {name: np.asarray(values) for name, values in arrays.items()}
        runs = Runs.of(columns, tuple(map(str, facts["notes"])))
        return replace(runs, cell=tuple(map(str, facts["cell"])))

    def best(self, store: ObjectStore) -> Runs:
        """Return the runs of each cell's best learning rate, with what was left out among the notes."""
        runs = self.read(store)
        chosen, told = best_rates(runs)
        return replace(chosen, notes=(*runs.notes, *told))
