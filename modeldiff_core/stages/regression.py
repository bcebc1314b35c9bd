"""One regression as plain values: what it is made from, by which estimator, and where its datamodels are stored."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool

from modeldiff_core.datamodels import Estimator, FromMasks, FromTrainings
from modeldiff_core.identity import plain
from modeldiff_core.plan import Reference, refer
from modeldiff_core.responses import FullModels, shards_of
from modeldiff_core.stages.blocks import Blocks
from modeldiff_core.statistics.replicates import Replicates
from modeldiff_core.store import MarginMatrix
from modeldiff_core.study import Training
from modeldiff_core.study.build import estimator_of

VERSION = 1


@dataclass(frozen=True)
class Checkpoints:
    """Models trained on all data: those of a training with numbers below `models`."""

    training: Training
    models: int


@dataclass(frozen=True)
class Regression:
    """One regression: a matrix, the models of it that are used, and the estimator (its kind and all its settings).

    units: of the masks. first: models before it are kept for evaluation. half: 0 or 1 takes every other model (or
    all models of every other mask, where masks are repeated), None all.
    checkpoints: what an estimator looks into that takes no margins, or (0 models of it) the training whose like it runs
    itself; `half` then means their numbers.
    prior: datamodels whose predictions are taken away before the rest is fitted.
    """

    matrix: Reference
    folder: str
    targets: int
    units: int
    first: int
    half: int | None
    kind: str
    settings: dict[str, Any]
    block_size: int
    checkpoints: Checkpoints | None = None
    prior: "Regression | None" = None

    @cached_property
    def estimator(self) -> Estimator:
        """What fits it."""
        return estimator_of(self.kind, self.settings)

    @cached_property
    def reference(self) -> Reference:
        """Where its datamodels are stored."""
        made = self.estimator.named(self.kind)
        source: dict[str, Any] = {"matrix": self.matrix.digest, "first": self.first}
        if isinstance(self.estimator, FromTrainings):
            assert self.checkpoints is not None
            source = {"training": self.checkpoints.training.digest}
        elif self.checkpoints is not None:
            source = {"training": self.checkpoints.training.digest, "checkpoints": self.checkpoints.models}
        identity = {"version": VERSION, "half": self.half, **source, **made}
        if self.prior is not None:
            identity["prior"] = self.prior.reference.digest
        return refer(self.folder, "datamodels", identity, record="{key}/record.json")

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First and last + 1 target of each block: whole chunks, or all at once where checkpoints are looked into."""
        size = self.targets
        if isinstance(self.estimator, FromMasks):
            chunk = self.estimator.chunk or 1
            size = -(-self.block_size // chunk) * chunk
        elif isinstance(self.estimator, FromTrainings):
            size = self.block_size
        return [(start, min(start + size, self.targets)) for start in range(0, self.targets, size)]

    @property
    def sources(self) -> tuple[Reference, ...]:
        """What it reads."""
        if self.checkpoints is None:
            return (self.matrix,) if self.prior is None else (self.matrix, self.prior.reference)
        models, responses = self.checkpoints.models, FullModels(self.checkpoints.training)
        count = shards_of(models, responses.shard_size)
        return tuple(responses.reference(index) for index in range(count))

    def record(self) -> dict[str, Any]:
        """Return what the record of its datamodels says of how they were made."""
        content = plain(self)
        assert isinstance(content, dict)
        left_out = {"units"} if self.prior is not None else {"units", "prior"}
        return {name: value for name, value in content.items() if name not in left_out}

    @property
    def product(self) -> Blocks:
        """What its datamodels are in a store."""
        return Blocks(self.reference, self.targets, self.units)


def replicates_of(matrix: MarginMatrix) -> Replicates:
    """Return the replicates of a matrix's models: those that its design trains on one mask, with other seeds.

    Of adopted models no design is known: there they are those of equal masks, where the adoption found some.
    """
    if matrix.record.get("screening", {}).get("repeated"):
        return Replicates.of_masks(matrix.masks())
    made = matrix.record["identity"]["training"]
    repeated = made.get("subsets", {}).get("seeds", 1) if "subsets" in made else made.get("design", {}).get("times", 1)
    return Replicates.repeated(int(matrix.record["models"]), repeated)


def rows_used(matrix: MarginMatrix, first: int, half: int | None) -> Bool[np.ndarray, " models"]:
    """Models of a matrix that a regression uses: none of those kept, of one half if asked, and not diverged.

    first: replicates with a model before it are kept for evaluation. half: every other replicate.
    """
    return np.asarray(matrix.valid() & rows_asked(matrix, first, half))


def rows_asked(matrix: MarginMatrix, first: int, half: int | None) -> Bool[np.ndarray, " models"]:
    """Return the same models with the diverged ones."""
    replicates = replicates_of(matrix)
    fitted = ~replicates.begun_before(first)
    return fitted if half is None else fitted & replicates.half(half)
