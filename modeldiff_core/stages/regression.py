"""One regression as plain values: what it is made from, by which estimator, and where its datamodels stand."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool

from modeldiff_core.datamodels import Estimator, FromMasks
from modeldiff_core.identity import digest
from modeldiff_core.stages.references import Reference, refer
from modeldiff_core.store import MarginMatrix
from modeldiff_core.study import Training
from modeldiff_core.study.build import estimator_of

VERSION = 1


@dataclass(frozen=True)
class Checkpoints:
    """Models trained on all data: those of a training (as plain values) with numbers below `models`."""

    training: dict[str, Any]
    models: int


@dataclass(frozen=True)
class Regression:
    """One regression: a matrix, the models of it that are used, and the estimator (its kind and all its settings).

    first: models before it are kept for evaluation. half: 0 or 1 takes every other model, None all.
    checkpoints: what an estimator looks into that takes no margins; `half` then means their numbers.
    """

    matrix: Reference
    folder: str
    targets: int
    first: int
    half: int | None
    kind: str
    settings: dict[str, Any]
    block_size: int
    checkpoints: Checkpoints | None = None

    @cached_property
    def estimator(self) -> Estimator:
        """What fits it."""
        return estimator_of(self.kind, self.settings)

    @cached_property
    def reference(self) -> Reference:
        """Where its datamodels stand."""
        settings = self.estimator.identity()
        made: dict[str, Any] = {"lasso": settings}  # as it was before there were other estimators
        if self.kind != "lasso":
            made = {"estimator": {"kind": self.kind, "version": self.estimator.version, "settings": settings}}
        source: dict[str, Any] = {"matrix": self.matrix.digest, "first": self.first}
        if self.checkpoints is not None:
            training = Training.from_json(self.checkpoints.training)
            source = {"training": digest(training.identity), "checkpoints": self.checkpoints.models}
        identity = {"version": VERSION, "half": self.half, **source, **made}
        return refer(self.folder, "datamodels", identity, record="{key}/record.json")

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First and last + 1 target of each block: whole chunks, or all at once where checkpoints are looked into."""
        size = self.targets
        if isinstance(self.estimator, FromMasks):
            chunk = self.estimator.chunk or 1
            size = -(-self.block_size // chunk) * chunk
        return [(start, min(start + size, self.targets)) for start in range(0, self.targets, size)]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a worker in another process."""
        checkpoints = self.checkpoints
        return {
            "matrix": self.matrix.to_json(), "folder": self.folder, "targets": self.targets, "first": self.first,
            "half": self.half, "kind": self.kind, "settings": self.settings, "block_size": self.block_size,
            "checkpoints": checkpoints and {"training": checkpoints.training, "models": checkpoints.models},
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Regression":
        """What to_json gave."""
        checkpoints = content["checkpoints"] and Checkpoints(**content["checkpoints"])
        return cls(**{**content, "matrix": Reference(**content["matrix"]), "checkpoints": checkpoints})


def rows_used(matrix: MarginMatrix, first: int, half: int | None) -> Bool[np.ndarray, " models"]:
    """Models of a matrix that a regression uses: from `first` on, of one half if asked, and not diverged."""
    keep = matrix.valid()
    number = np.arange(len(keep))
    keep &= number >= first
    return keep if half is None else keep & (number % 2 == half)
