"""Responses of any intervention under any design: one row of outputs for each row of units."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.designs import Design
from modeldiff_core.errors import Diverged
from modeldiff_core.identity import Tagged, plain
from modeldiff_core.plan import Array, Product, Tensors
from modeldiff_core.registry import Registry
from modeldiff_core.responses.products import RowShard
from modeldiff_core.responses.responses import Answers, Named
from modeldiff_core.store import ObjectStore, Shard, TensorObject, read_tensors, shard_key, write_shard, write_tensors
from modeldiff_core.training import Execution

VERSION = 1
TOLERATED = 0.05
"""Largest share of a shard's rows that may fail."""


class Intervention(Tagged):
    """What a row does with its units: train on them, ablate the others, set them to zero.

    A frozen dataclass with a field ``kind``, whose fields are its identity. Register a class under the entry-point
    group ``modeldiff.interventions``.
    """

    kind: str

    @classmethod
    def member(cls, kind: str) -> type["Intervention"]:
        return INTERVENTIONS.get(kind)

    @property
    @abstractmethod
    def units(self) -> int:
        """Number of units that a row may have."""

    @abstractmethod
    def respond(
        self, masks: Bool[np.ndarray, "rows units"], numbers: range, seeds: list[int], execution: Execution
    ) -> Float[np.ndarray, "rows ..."]:
        """Return the outputs of rows; a row must be a pure function of (self, its mask, its number, its seed).

        Values that are not finite mark a row that failed.
        """

    def identity(self) -> object:
        """Return what decides the outputs, as plain values: all fields if an intervention says no more."""
        return plain(self)


INTERVENTIONS: Registry[type[Intervention]] = Registry("modeldiff.interventions", "intervention.kind", {})
"""Interventions by ``kind``; all come from entry points of the group ``modeldiff.interventions``."""


@dataclass(frozen=True)
class Rows(Named):
    """An intervention on the units of a design, one output for each target.

    Attributes:
        name: What the folder of these responses is called, for people.
        intervention: What a row does.
        design: Which units each row has.
        axes: The axes of one row's output with their sizes, such as ``{"targets": 797}``. With that one axis alone the
            rows can be gathered in a matrix and regressed.
        output: The name of the output.
        shard_size: Rows that are made together.

    """

    name: str
    intervention: Intervention
    design: Design
    axes: dict[str, int]
    output: str = "margin"
    shard_size: int = 100
    kind: Literal["rows"] = "rows"

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        return {
            "version": VERSION,
            "intervention": self.intervention.identity(),
            "design": plain(self.design),
            "axes": self.axes,
            "output": self.output,
            "shard_size": self.shard_size,
        }

    @property
    def targets(self) -> int:
        return self.axes["targets"]

    @property
    def is_matrix(self) -> bool:
        """Whether a row is one number for each target."""
        return list(self.axes) == ["targets"]

    def product(self, index: int) -> Product:
        if self.is_matrix:
            return RowShard.of(self, index)
        sizes = {"rows": self.shard_size, **self.axes}
        return Tensors(self.reference(index), self.identity, (Array("outputs", sizes),))

    def make(self, store: ObjectStore, index: int, execution: Execution) -> None:
        answers = self.answers(self.rows(index), execution)
        if self.is_matrix:
            shard = Shard(self.rows(index).start, answers.masks, answers.outputs, answers.failed)
            write_shard(store, self.folder, index, shard, self.identity)
            return
        arrays = {"masks": answers.masks, "outputs": answers.outputs, "failed": answers.failed}
        facts = {"index": index, "first": self.rows(index).start}
        write_tensors(store, shard_key(self.folder, index), TensorObject(arrays, self.identity, facts))

    def answers(self, numbers: range, execution: Execution) -> Answers:
        """Compute rows; raises Diverged if more than TOLERATED of them have outputs that are not finite."""
        masks = self.design.masks(numbers)
        found = np.asarray(self.intervention.respond(masks, numbers, self.design.seeds(numbers), execution))
        expected = (len(numbers), *self.axes.values())
        if found.shape != expected:
            raise ValueError(
                f"{self.name}: outputs of shape {found.shape}, expected {expected} (rows, {', '.join(self.axes)})"
            )
        failed = ~np.isfinite(found).reshape(len(found), -1).all(axis=1)
        if failed.mean() > TOLERATED:
            rows = ", ".join(str(numbers[int(at)]) for at in np.flatnonzero(failed)[:10])
            raise Diverged(
                f"{self.name}: {int(failed.sum())} of {len(numbers)} rows have outputs that are not finite: {rows}"
            )
        outputs = np.where(failed.reshape(-1, *[1] * len(self.axes)), 0, found).astype(np.float32)
        return Answers(masks, outputs, failed)

    def read(self, store: ObjectStore, index: int) -> Float[np.ndarray, "rows ..."]:
        """Return the outputs of a shard whose rows are more than one number for each target."""
        return np.asarray(read_tensors(store, shard_key(self.folder, index), self.identity).arrays["outputs"])
