"""Stage: datamodels of one block of targets, and their assembly."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.datamodels import Datamodels, fit_lasso
from modeldiff_core.stages.references import Reference, open_store, refer
from modeldiff_core.store import (
    MarginMatrix,
    ObjectStore,
    TensorObject,
    read_record,
    read_tensors,
    write_record,
    write_tensors,
)

VERSION = 1
FIELDS = ("weights", "bias", "lambdas", "duality_gap", "validation_r2")


@dataclass(frozen=True)
class Regression:
    """One regression: a matrix, the models of it that are used, and the settings of the lasso.

    first: models before it are kept for evaluation. half: 0 or 1 takes every other model, None all.
    """

    matrix: Reference
    folder: str
    targets: int
    first: int
    half: int | None
    settings: dict[str, Any]

    @property
    def reference(self) -> Reference:
        """Where its datamodels stand."""
        settings = {name: value for name, value in self.settings.items() if name != "block_size"}
        identity = {
            "version": VERSION, "matrix": self.matrix.digest, "first": self.first, "half": self.half, "lasso": settings,
        }  # fmt: skip
        return refer(self.folder, "datamodels", identity, record="{key}/record.json")

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First and last + 1 target of each block."""
        size = self.settings["block_size"]
        return [(start, min(start + size, self.targets)) for start in range(0, self.targets, size)]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a worker in another process."""
        return {
            "matrix": self.matrix.to_json(), "folder": self.folder, "targets": self.targets, "first": self.first,
            "half": self.half, "settings": self.settings,
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Regression":
        """What to_json gave."""
        return cls(**{**content, "matrix": Reference(**content["matrix"])})


def rows_used(matrix: MarginMatrix, first: int, half: int | None) -> Bool[np.ndarray, " models"]:
    """Models of a matrix that a regression uses: from `first` on, of one half if asked, and not diverged."""
    keep = matrix.valid()
    number = np.arange(len(keep))
    keep &= number >= first
    return keep if half is None else keep & (number % 2 == half)


def read_rows(
    store: ObjectStore, regression: Regression, start: int, stop: int
) -> tuple[Bool[np.ndarray, "models train"], Float[np.ndarray, "models targets"]]:
    """Masks and margins that a regression uses, for targets start..stop−1."""
    matrix = MarginMatrix.open(store, regression.matrix.key)
    keep = rows_used(matrix, regression.first, regression.half)
    return matrix.masks()[keep], matrix.margins(start, stop)[keep]


def block_key(reference: Reference, start: int, stop: int) -> str:
    """Name of a block's object."""
    return f"{reference.key}/targets-{start:06d}-{stop:06d}.safetensors"


def regress_block(store: dict[str, Any], regression: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Fit and store one block unless it is there."""
    objects, spec = open_store(store), Regression.from_json(regression)
    key = block_key(spec.reference, start, stop)
    if not objects.exists(key):
        masks, margins = read_rows(objects, spec, start, stop)
        settings = {name: value for name, value in spec.settings.items() if name != "block_size"}
        fitted = fit_lasso(masks, margins, **settings)
        arrays = {name: getattr(fitted, name) for name in FIELDS}
        write_tensors(objects, key, TensorObject(arrays, {"datamodels": spec.reference.digest}, {}))
    return {"key": key}


def finish_regression(store: dict[str, Any], regression: dict[str, Any]) -> dict[str, Any]:
    """Write the record that makes the datamodels complete."""
    objects, spec = open_store(store), Regression.from_json(regression)
    blocks = [block_key(spec.reference, *block) for block in spec.blocks]
    write_record(objects, spec.reference.record, {**spec.to_json(), "digest": spec.reference.digest, "blocks": blocks})
    return spec.reference.to_json()


def read_datamodels(store: ObjectStore, regression: Regression) -> Datamodels:
    """All blocks of complete datamodels, checked."""
    return read_blocks(store, regression.reference)


def read_blocks(store: ObjectStore, reference: Reference) -> Datamodels:
    """The blocks that the record of complete datamodels names, checked; their size is no part of what they are."""
    record = read_record(store, reference.record)
    identity = {"datamodels": reference.digest}
    parts = [read_tensors(store, key, identity).arrays for key in record["blocks"]]
    return Datamodels(**{name: np.concatenate([part[name] for part in parts]) for name in FIELDS})
